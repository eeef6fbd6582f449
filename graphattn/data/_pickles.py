"""Pickles among raw files: what is not known by its hash must hold arrays and nothing else."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from graphattn.data._card import Card
from graphattn.data._files import brief

__all__ = ["check_pickles"]

_ALLOWED = {
    **dict.fromkeys(("builtins", "__builtin__"), frozenset({"list", "dict", "set", "object"})),
    "collections": {"defaultdict"},
    **dict.fromkeys(("copyreg", "copy_reg"), frozenset({"_reconstructor"})),
    "_codecs": {"encode"},
    "numpy": {"ndarray", "dtype"},
    **{
        f"numpy.{core}.{part}": names
        for core in ("core", "_core")
        for part, names in (
            ("multiarray", {"_reconstruct", "scalar"}),
            ("numeric", {"_frombuffer"}),
        )
    },
    **{
        f"scipy.sparse.{mark}{form}": {f"{form}_matrix"}
        for form in ("csr", "csc", "coo")
        for mark in ("", "_")
    },
}
# The pickles of Planetoid are of a protocol that nothing but their names gives away.
_NAMED = "ind."
_PROTOCOLS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def check_pickles(card: Card, split: str | None, folder: Path) -> None:
    """See that pickles without a known hash hold only arrays, sparse matrices, dicts and lists.

    They are read here by an unpickler that knows nothing else, before a reader of PyG, which would
    execute whatever they hold, gets at them.

    Args:
        card: The card.
        split: Protocol whose files are meant.
        folder: Where they are: stands for the folder ``card.raw(split)``.

    Raises:
        ValueError: If one holds anything else; the error says what, and the way out.
    """
    for file, sha256 in card.raw_files(split).items():
        if sha256 is not None or file == card.split(split).ids:
            continue
        path = folder / Path(file).relative_to(card.raw(split))
        try:
            _look(path)
        except _ForeignError as error:
            raise ValueError(
                f"{str(path)!r} would execute code when it is read ({error}), and its sha256 is "
                f"not in the card of {card.name!r}. If you trust it, read it with "
                f"torch_geometric.datasets.{card.loader.name} and give that graph to fit()"
            ) from error
        except Exception as error:
            # A damaged pickle can end the reading in any way.
            if isinstance(error, MemoryError | OSError):
                raise
            raise ValueError(
                f"cannot read the raw files in {str(path.parent)!r}; {path.name} is damaged "
                f"({brief(error)})"
            ) from error


def _look(path: Path) -> None:
    """Read all that is pickled in a file."""
    with path.open("rb") as stream:
        start = stream.read(4)
        stream.seek(0)
        if start.startswith(b"PK\x03\x04"):
            _look_into_zip(stream)
        elif start == b"\x93NUM":
            _look_into_array(stream)
        elif start.startswith(_PROTOCOLS) or (
            path.name.startswith(_NAMED) and not path.name.endswith(".index")
        ):
            _Restricted(stream, encoding="latin1").load()


def _look_into_zip(stream: IO[bytes]) -> None:
    """An ``.npz`` file, or one of torch."""
    with zipfile.ZipFile(stream) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                if name.endswith(".npy"):
                    _look_into_array(member)
                elif name.endswith(".pkl"):
                    _Restricted(io.BytesIO(member.read())).load()


def _look_into_array(stream: IO[bytes]) -> None:
    """One array of NumPy, whose objects are pickled behind its header."""
    version = np.lib.format.read_magic(stream)
    read: Callable[..., tuple[Any, bool, np.dtype[Any]]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version, np.lib.format.read_array_header_2_0)
    if read(stream)[2].hasobject:
        _Restricted(io.BytesIO(stream.read()), encoding="latin1").load()


class _ForeignError(pickle.UnpicklingError):
    """A pickle names something that is neither an array nor a container."""


class _Restricted(pickle.Unpickler):
    """Knows arrays, sparse matrices and plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in _ALLOWED.get(module, ()):
            raise _ForeignError(f"it holds {module}.{name}")
        # SciPy warns of the names that its matrices had when these files were made.
        return super().find_class("scipy.sparse" if module.startswith("scipy.") else module, name)
