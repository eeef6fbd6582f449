"""The compiled library, reached through ctypes; absent where no compiler was at hand."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from torch import Tensor

__all__ = ["library", "pointers", "why_missing"]

_FOLDER = Path(__file__).parent
_NAMES = ("libgraphattn_native.so", "libgraphattn_native.dylib", "graphattn_native.dll")


@cache
def library() -> ctypes.CDLL:
    """Load the library, once.

    Raises:
        RuntimeError: If this installation has none, or it does not load here; says which.
    """
    path = next((path for name in _NAMES if (path := _FOLDER / name).exists()), None)
    if path is None:
        raise RuntimeError("not built: no working C++ compiler when graphattn was installed")
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise RuntimeError(f"{path.name} does not load: {error}") from error


@cache
def why_missing() -> str | None:
    """Why :func:`library` can't be had, in words; ``None`` when it can."""
    try:
        library()
    except RuntimeError as error:
        return str(error)
    return None


def pointers(tensors: Sequence[Tensor]) -> list[ctypes.c_void_p]:
    """Addresses of contiguous CPU tensors, in order. The caller keeps the tensors alive."""
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
