"""Files and folders: whole or not at all, below the folder that was asked for, and never a trap."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

__all__ = [
    "is_temporary",
    "read_regular_file",
    "relative_path",
    "remove_leftovers",
    "temporary_name",
    "write_atomically",
]

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
# File systems take 255 bytes; temporary names and numbers of attempts are added to a name.
_LONGEST_PART = 200
_LONGEST_NAME = 500


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, flush it to disk, then rename it.

    When ``write`` fails, or the disk is full, ``path`` keeps its former content and the temporary
    file is removed. Its name is random and must be new, so that nothing that lies there already, a
    link to elsewhere for one, is ever written to.

    Args:
        path: Where the file shall stand. Its folder must exist.
        write: Called with the open binary file.

    Raises:
        OSError: If the file can't be written.
    """
    temporary, file = _open_temporary(path)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform != "win32":
                # Before the lock goes with the file: else it could pass for a leftover.
                os.replace(temporary, path)
        if sys.platform == "win32":
            os.replace(temporary, path)  # an open file can't be renamed there
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_name(name: str) -> str:
    """A new name for what shall get ``name`` when it is complete; hidden, and known as ours."""
    return f".{name}.{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    """Whether :func:`temporary_name` may have made a name."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process has left in a folder.

    Only regular files with a name of :func:`write_atomically`, directly in the folder, which no
    living process is writing. What can't be removed stays.

    Args:
        folder: An existing folder.
    """
    for entry in list(os.scandir(folder)):
        if is_temporary(entry.name) and entry.is_file(follow_symlinks=False):
            _remove_if_left(entry.path)


def read_regular_file(path: Path, *, most: int | None = None) -> bytes:
    """Read a file that somebody else may have made.

    Args:
        path: The file. A link is followed; a device, a pipe or a folder is an error, at once.
        most: Largest size in bytes.

    Returns:
        The content.

    Raises:
        OSError: If there is no such file or it can't be read.
        ValueError: If it is no regular file, or larger than ``most``.
    """
    # Opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} must be a regular file")
    with open(descriptor, "rb") as file:
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise ValueError(f"{path} must have at most {most:,} bytes")
    return content


def relative_path(name: object, *, argument: str = "name", root: str = "root") -> PurePosixPath:
    """Make a path of a name, which may come out of a file: the only way to do so.

    Args:
        name: The name; slashes make folders of it.
        argument: What it is called, for the error.
        root: What the path shall be below, for the error.

    Returns:
        A relative path that leads nowhere but down: without ``..``, hidden parts, control
        characters, and what means something in paths of other systems.

    Raises:
        TypeError: If it is no string.
        ValueError: If there is no such path.

    Example:
        >>> str(relative_path("gat/cora"))
        'gat/cora'
        >>> relative_path("../cora")
        Traceback (most recent call last):
        ValueError: 'name' must be a relative path below 'root', got '../cora'
    """
    if not isinstance(name, str):
        raise TypeError(f"'{argument}' must be a string, got {name!r}")
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{argument}' must be a relative path below '{root}', got {name!r}")
    if not name.isprintable() or any(sign in name for sign in "\\:"):
        raise ValueError(
            rf"'{argument}' must have no control characters, '\' or ':', got {name[:200]!r}"
        )
    if any(part.startswith(".") or part != part.strip() for part in path.parts):
        raise ValueError(
            f"the parts of '{argument}' must not begin with a dot, nor begin or end with a space, "
            f"got {name!r}"
        )
    longest = max(len(part.encode()) for part in path.parts)
    if longest > _LONGEST_PART or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"'{argument}' must have at most {_LONGEST_NAME} characters, {_LONGEST_PART} bytes in "
            f"each part, got {name[:100]!r}..."
        )
    return path


def _open_temporary(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside ``path``, locked for as long as it is open."""
    while True:
        temporary = path.with_name(temporary_name(path.name))
        file = open(temporary, "xb")  # noqa: SIM115 - the caller closes it
        if sys.platform != "win32":
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.path.lexists(temporary):
                file.close()  # a process that cleans up came before the lock
                continue
        return temporary, file


def _remove_if_left(path: str) -> None:
    """Remove a temporary file unless its writer lives, which can be seen from the lock."""
    try:
        if sys.platform == "win32":
            os.unlink(path)  # fails for an open file
            return
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    except OSError:
        return  # in use, gone, or not ours to remove
