from __future__ import annotations

import errno
import gzip
import logging
import tempfile
from pathlib import Path

import pytest

from graphattn.data import _files, card


def test_root_is_argument_then_environment_then_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _files.resolve_root(None) == tmp_path / "xdg" / "graphattn" / "data"
    monkeypatch.setenv("GRAPHATTN_DATA", str(tmp_path / "environment"))
    assert _files.resolve_root(None) == tmp_path / "environment"
    assert _files.resolve_root(tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _files.cache_folder() == Path.home() / ".cache" / "graphattn"


def test_root_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"'root' must be a folder, got '.*file'"):
        _files.resolve_root(tmp_path / "file")


def test_offline_by_argument_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _files.is_offline(True)
    assert not _files.is_offline(False)
    monkeypatch.setenv("GRAPHATTN_OFFLINE", "0")
    assert not _files.is_offline(False)
    monkeypatch.setenv("GRAPHATTN_OFFLINE", "1")
    assert _files.is_offline(False)


def test_writable_folder(tmp_path: Path) -> None:
    assert _files.is_writable(tmp_path)
    assert _files.is_writable(tmp_path / "not" / "there" / "yet")
    assert not list(tmp_path.iterdir())


def test_folder_without_write_permission_is_read_only_even_for_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    assert not _files.is_writable(tmp_path / "below")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_file_system_that_refuses_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(**kwargs: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert not _files.is_writable(tmp_path)


def test_full_disk_is_not_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match="full"):
        _files.is_writable(tmp_path)


def test_publish_moves_all_files(tmp_path: Path, tree) -> None:
    (tmp_path / "from" / "sub").mkdir(parents=True)
    (tmp_path / "from" / "sub" / "a").write_text("new")
    (tmp_path / "to" / "sub").mkdir(parents=True)
    (tmp_path / "to" / "sub" / "a").write_text("old")
    (tmp_path / "to" / "b").write_text("kept")
    _files.publish(tmp_path / "from", tmp_path / "to")
    assert tree(tmp_path / "to") == {"sub", "sub/a", "b"}
    assert (tmp_path / "to" / "sub" / "a").read_text() == "new"
    assert tree(tmp_path / "from") == {"sub"}


def test_staging_is_on_the_same_file_system_and_vanishes(tmp_path: Path, tree) -> None:
    with _files.staging(tmp_path / "not" / "there") as folder:
        assert Path(folder).parent == tmp_path
        (Path(folder) / "half").touch()
    assert not tree(tmp_path)


def test_log_says_what_from_where_and_how_big(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _files.announce_download(card("ogbn-products"), tmp_path)
    assert caplog.messages == [
        "downloading data set 'ogbn-products' from "
        "http://snap.stanford.edu/ogb/data/nodeproppred/products.zip (about 1,480.0 MB) "
        f"to {tmp_path}"
    ]
    assert caplog.records[0].name == "graphattn"


@pytest.mark.parametrize("code", [None, errno.ENOSPC])
def test_failed_download_names_the_set_and_keeps_the_code(tmp_path: Path, code: int | None) -> None:
    failure = OSError("no route") if code is None else OSError(code, "disk full")
    with (
        pytest.raises(
            OSError, match=r"downloading data set 'cora' from https.* failed: .* by hand"
        ) as caught,
        _files.downloading(card("cora"), tmp_path),
    ):
        raise failure
    assert caught.value.errno == code


@pytest.mark.parametrize("error", [KeyError("x"), EOFError(), gzip.BadGzipFile("Not a gzip")])
def test_any_error_of_reading_is_damage(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(ValueError, match=f"cannot read the raw files in '{tmp_path}'"),
        _files.damaged("raw files", tmp_path),
    ):
        raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), MemoryError()])
def test_a_full_disk_or_memory_is_no_damage(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)), _files.damaged("raw files", tmp_path):
        raise error


def test_output_goes_to_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="graphattn"), _files.quiet():
        print("Processing...")  # noqa: T201
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == ["Processing...\n"]


@pytest.mark.parametrize(
    ("name", "is_path"),
    [
        ("cora", False),
        ("Cora", False),
        ("./cora", True),
        ("g.pt", True),
        ("mine", True),
        ("x", False),
    ],
)
def test_names_and_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_path: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "cora"):
        (tmp_path / folder).mkdir()
    assert _files.own_path(name) == (tmp_path / name if is_path else None)


def test_fingerprint_follows_the_contents(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    folder.mkdir()
    for name in ("nodes.csv", "edges.csv"):
        (folder / name).write_text(name)
    before = _files.fingerprint(folder)
    folder.rename(tmp_path / "moved")
    assert _files.fingerprint(tmp_path / "moved") == before
    (tmp_path / "moved" / "edges.csv").write_text("else")
    assert _files.fingerprint(tmp_path / "moved") != before
