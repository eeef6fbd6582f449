from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from graphattn._core import files
from graphattn._core.files import (
    read_regular_file,
    relative_path,
    remove_leftovers,
    temporary_name,
    write_atomically,
)


def test_replaces_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(file: BinaryIO) -> None:
        file.write(b"half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_never_writes_to_what_lies_under_the_temporary_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    temporary = tmp_path / temporary_name("a.txt")
    temporary.symlink_to(victim)
    monkeypatch.setattr(files, "temporary_name", lambda _: temporary.name)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "a.txt", lambda file: file.write(b"new"))
    assert victim.read_text() == "precious"
    assert temporary.is_symlink()


def test_a_link_in_place_of_the_file_is_replaced(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "a.txt").symlink_to(victim)
    write_atomically(tmp_path / "a.txt", lambda file: file.write(b"new"))
    assert victim.read_text() == "precious"
    assert (tmp_path / "a.txt").read_text() == "new"


def test_temporary_names_are_never_equal() -> None:
    assert len({temporary_name("a") for _ in range(100)}) == 100


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.txt", lambda file: file.write(b"new"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path, failed = tmp_path / "a.txt", []

    def write(content: bytes) -> None:
        try:
            for _ in range(30):
                write_atomically(path, lambda file: file.write(content))
                remove_leftovers(tmp_path)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(sign * 9000,)) for sign in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert path.read_bytes() in (b"a" * 9000, b"b" * 9000, b"c" * 9000)
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, sys
from pathlib import Path
from graphattn._core.files import write_atomically

def write(file):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()

write_atomically(Path(sys.argv[1]), write)
"""


def test_leftovers_of_a_killed_process_go_and_nothing_else(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.txt")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        (left,) = tmp_path.iterdir()
        remove_leftovers(tmp_path)
        assert left.exists(), "its writer lives"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    others = [tmp_path / name for name in ("a.txt", ".a.txt.tmp", ".a.txt.12.tmp", "b.tmp")]
    for other in others:
        other.write_text("")
    link, folder = tmp_path / temporary_name("link"), tmp_path / temporary_name("folder")
    link.symlink_to(others[0])
    folder.mkdir()
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {*others, link, folder}


def test_reads_a_file_and_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_regular_file(tmp_path / "a") == read_regular_file(tmp_path / "b", most=3) == b"abc"
    with pytest.raises(ValueError, match="b must have at most 2 bytes"):
        read_regular_file(tmp_path / "b", most=2)
    with pytest.raises(FileNotFoundError):
        read_regular_file(tmp_path / "c")


def test_a_pipe_or_device_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "zero", "folder"):
        with pytest.raises(ValueError, match=f"{name} must be a regular file"):
            read_regular_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a", "gat/cora", "gat-digits-0a1b2c", "ä b", "a/./b", "a//b/"])
def test_names_that_are_paths(name: str, tmp_path: Path) -> None:
    assert (tmp_path / relative_path(name)).resolve().is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "'name' must be a relative path below 'root', got ''"),
        (".", "relative path"),
        ("/etc", "relative path"),
        ("//etc", "relative path"),
        ("..", "relative path"),
        ("../victim", "relative path"),
        ("a/../../victim", "relative path"),
        ("a/..", "relative path"),
        ("..\\victim", "control characters"),
        ("C:victim", "control characters"),
        ("a\nb", "control characters"),
        ("a\x1b[2J", "control characters"),
        ("a\x00b", "control characters"),
        ("\u202egat", "control characters"),
        (".git/hooks", "begin with a dot"),
        ("a/.b", "begin with a dot"),
        ("a /b", "with a space"),
        ("a" * 201, "200 bytes"),
        ("ä" * 101, "200 bytes"),
        ("a/" * 300, "500 characters"),
    ],
)
def test_names_that_are_no_paths(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        relative_path(name)


@pytest.mark.parametrize("name", [None, 3, ["a"], b"a", Path("a")])
def test_names_that_are_no_strings(name: object) -> None:
    with pytest.raises(TypeError, match="'recipe' must be a string, got"):
        relative_path(name, argument="recipe")
