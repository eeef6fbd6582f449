"""Where raw and processed files lie, and how they get there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from graphattn.data._card import Card, has_card

__all__ = [
    "announce_download",
    "brief",
    "cache_folder",
    "check_hashes",
    "check_ids",
    "damaged",
    "downloading",
    "find_raw",
    "fingerprint",
    "is_offline",
    "is_writable",
    "own_files",
    "own_path",
    "publish",
    "quiet",
    "resolve_root",
    "staging",
]

logger = logging.getLogger("graphattn")


def cache_folder() -> Path:
    """The user's cache folder for this library (``XDG_CACHE_HOME`` or ``~/.cache``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "graphattn"


def resolve_root(root: str | os.PathLike[str] | None) -> Path:
    """The folder of all data sets: the argument, else ``GRAPHATTN_DATA``, else the user's cache.

    Raises:
        ValueError: If it exists and is not a folder.
    """
    chosen = root or os.environ.get("GRAPHATTN_DATA") or cache_folder() / "data"
    path = Path(chosen).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError(f"'root' must be a folder, got {str(path)!r}")
    return path


def is_offline(offline: bool) -> bool:
    """Whether the network is off limits: the argument, or ``GRAPHATTN_OFFLINE`` set and not 0."""
    return offline or os.environ.get("GRAPHATTN_OFFLINE", "0") not in ("", "0")


def is_writable(path: Path) -> bool:
    """Whether files can be made in a folder, or in the one that would hold it.

    A folder without any write permission counts as read-only even for the superuser, who could
    write there: whoever took the permission away did not want it written to.
    """
    folder = _nearest_existing(path)
    if not folder.stat().st_mode & 0o222 or not os.access(folder, os.W_OK):
        return False
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return False
        raise


def find_raw(card: Card, split: str | None, root: Path, *, offline: bool) -> tuple[Path, bool]:
    """The root to use, and whether the raw files are there already.

    What is missing in a root that can't be written to is looked for in the user's cache.

    Raises:
        FileNotFoundError: If files are missing and must not be downloaded.
        FileExistsError: If there is a part of an OGB set, or another release, in the way.
    """
    missing = _missing(card, split, root)
    if not missing:
        return root, True
    if missing == [card.split(split).ids]:
        raise FileNotFoundError(
            f"the nodes of split {split!r} of data set {card.name!r} are not in {str(root)!r}; put "
            f"this file there: {missing[0]} ({card.split(split).note})"
        )
    base = root if is_writable(root / card.raw(split)) else cache_folder() / "data"
    present = not _missing(card, split, base)
    if not present and offline:
        raise FileNotFoundError(
            f"data set {card.name!r} is not complete in {str(root)!r} and downloading is switched "
            f"off; put these files there: {', '.join(missing)} (from {card.source}), or name "
            "another 'root'"
        )
    if not present and card.loader.kind == "ogb" and (base / card.raw(split)).exists():
        raise FileExistsError(
            f"{str(base / card.raw(split))!r} is not a complete copy of {card.name!r} (or another "
            "release of it); move it away to download the set again"
        )
    return base, present


def check_hashes(card: Card, split: str | None, folder: Path) -> None:
    """Compare raw files with the hashes of the card; those without a known hash pass.

    Args:
        card: The card.
        split: Protocol whose files are meant.
        folder: Where they are: stands for the folder ``card.raw(split)``.

    Raises:
        ValueError: If any differs; the error lists all of them.
    """
    found = {
        folder / Path(file).relative_to(card.raw(split)): expected
        for file, expected in card.raw_files(split).items()
        if file != card.split(split).ids
    }
    _compare(card, found)


def check_ids(card: Card, split: str | None, base: Path) -> Path:
    """Compare the file with the nodes of a protocol's parts with the hash of the card.

    Returns:
        Where the file is.

    Raises:
        ValueError: If it differs.
        FileNotFoundError: If it isn't there.
    """
    ids = card.split(split).ids
    _compare(card, {base / ids: card.files[ids]})
    return base / ids


def _compare(card: Card, files: dict[Path, str | None]) -> None:
    """Compare files with their hashes, where these are known."""
    differences = []
    for path, expected in files.items():
        if expected is None:
            continue
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != expected:
            size = path.stat().st_size
            differences.append(f"{path} ({size} bytes): sha256 {found}, expected {expected}")
    if differences:
        raise ValueError(
            f"raw files of data set {card.name!r} are truncated or not the published ones; "
            "remove them to download them again:\n  " + "\n  ".join(differences)
        )


def own_path(name: str) -> Path | None:
    """The file or folder that a name of a data set means, or ``None`` where it names a card.

    A path contains a separator, ends with ``.pt``, or is a folder that no card is named like.

    Args:
        name: What stands where a data set is named.
    """
    looks_like_one = os.sep in name or "/" in name or name.endswith(".pt")
    if not looks_like_one and (has_card(name) or not Path(name).is_dir()):
        return None
    return Path(name).expanduser().absolute()


def own_files(path: Path) -> list[Path]:
    """The files that a graph of one's own is read from.

    Raises:
        FileNotFoundError: If any is missing.
        ValueError: If it is neither a folder nor a ``.pt`` file.
    """
    if path.is_dir():
        files = [path / "nodes.csv", path / "edges.csv"]
    elif not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
    elif path.suffix == ".pt":
        files = [path]
    else:
        raise ValueError(
            f"a graph is read from a .pt file or from a folder with nodes.csv and edges.csv, got "
            f"{str(path)!r}"
        )
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {str(file)!r}")
    return files


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Digest of the files of a graph of one's own: other contents, another digest.

    Args:
        path: A ``.pt`` file, or a folder with CSV files.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it is neither a folder nor a ``.pt`` file.
    """
    total = hashlib.sha256()
    for file in own_files(Path(path)):
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def staging(target: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder on the file system of ``target``, removed at the end in any case."""
    return tempfile.TemporaryDirectory(prefix=".graphattn-", dir=_nearest_existing(target))


def publish(source: Path, target: Path) -> None:
    """Move all files of a folder to the same places in another; each one appears whole."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)


def announce_download(card: Card, target: Path) -> None:
    """Say what will be fetched, from where and how big.

    The line is a warning, so that it shows without any logging set up.
    """
    size = f"about {card.download_bytes / 1e6:,.1f} MB" if card.download_bytes else "size unknown"
    logger.warning(
        "downloading data set %r from %s (%s) to %s", card.name, card.source, size, target
    )


@contextlib.contextmanager
def downloading(card: Card, target: Path) -> Iterator[None]:
    """Name the data set, and where its files could be put by hand, if fetching it fails."""
    try:
        yield
    except OSError as error:
        text = (
            f"downloading data set {card.name!r} from {card.source} failed: {error}; its files can "
            f"also be put into {str(target)!r} by hand"
        )
        raise (OSError(text) if error.errno is None else OSError(error.errno, text)) from error


@contextlib.contextmanager
def damaged(what: str, folder: Path) -> Iterator[None]:
    """Name the folder when reading fails, which a damaged file can do in any way."""
    try:
        yield
    except Exception as error:
        # A full disk or a missing permission is no damage (but gzip's OSError is, without errno).
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        raise ValueError(
            f"cannot read the {what} in {str(folder)!r}; a file there is damaged or not what it "
            f"should be ({brief(error)})"
        ) from error


def brief(error: Exception) -> str:
    """Kind and first line of an error; torch's go on for a page."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what PyG and ogb print to the log."""
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            yield
    finally:
        if text.getvalue():
            logger.debug(text.getvalue())


def _missing(card: Card, split: str | None, root: Path) -> list[str]:
    """Raw files of a card that are not below a root."""
    return [file for file in card.raw_files(split) if not (root / file).is_file()]


def _nearest_existing(path: Path) -> Path:
    """The path itself, or the closest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
