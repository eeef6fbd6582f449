"""The compiled library, reached through ctypes; absent where no compiler was at hand."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = [
    "BLOCK",
    "VALUE_CODES",
    "Graph",
    "address",
    "arguments",
    "borrow",
    "call",
    "elu",
    "empty",
    "fingerprint",
    "give_back",
    "instruction_set",
    "kernel",
    "library",
    "on_huge_pages",
    "pad_channels",
    "pointers",
    "rows",
    "wants_padding",
    "why_missing",
]

VALUE_CODES = MappingProxyType({torch.float32: 0, torch.float64: 1})
"""How the kernels number the types of values."""

# What kernels return, see `for_type` of rows.hpp.
UNKNOWN_TYPE, OUT_OF_MEMORY = 1, 2
LANES = 8
BLOCK = 64
"""Rows of a graph whose contributions to a parameter are summed first; `kBlock` of common.hpp."""

HUGE = 1 << 22
"""Bytes from which on results are put on huge pages."""

SCATTERED = 1 << 26
"""Bytes from which on the addresses of random rows are found faster on huge pages."""

SPARE_BYTES = 1 << 28
"""Memory that is kept for :func:`borrow`."""

_spare: list[_Spare] = []


class _Spare:
    """Memory that nobody uses. Not a tensor, which a list would compare entry by entry."""

    def __init__(self, storage: torch.UntypedStorage) -> None:
        self.storage = storage
        self.nbytes = storage.nbytes()

    def as_tensor(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor at its beginning."""
        return torch.empty(0, dtype=dtype).set_(self.storage, 0, tuple(shape))  # type: ignore[call-overload, no-any-return]


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


@cache
def instruction_set() -> str:
    """The widest one that this machine has and the library was compiled for."""
    name: str = ("portable", "avx2", "avx512")[library().graphattn_isa()]
    return name


@cache
def kernel(name: str, isa: str | None = None) -> Callable[..., int]:
    """The function of that name for an instruction set.

    Args:
        name: Name without prefix and instruction set, such as ``"gat"``.
        isa: Instruction set; by default the one of :func:`instruction_set`.
    """
    isa = isa or instruction_set()
    function: Callable[..., int] = getattr(library(), f"graphattn_{name}_{isa}")
    return function


class Graph(ctypes.Structure):
    """``GraphattnGraph`` of ``common.hpp``: sizes, then the arrays by destination and by source."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("num_src", "num_dst", "num_edges")),
        *((name, ctypes.c_int64) for name in ("longest_row", "longest_column")),
        *((name, ctypes.c_void_p) for name in ("rowptr", "col", "edge")),
        *((name, ctypes.c_void_p) for name in ("tptr", "trow", "position")),
    ]


def call(name: str, filled: ctypes.Structure, values: torch.dtype, backward: bool) -> None:
    """Run a kernel.

    Args:
        name: Name of the kernel.
        filled: Its arguments, from :func:`arguments`.
        values: Type of the values.
        backward: Whether to compute gradients.

    Raises:
        TypeError: If the kernel does not know the type of the values.
        MemoryError: If the memory does not suffice.
    """
    code = VALUE_CODES.get(values, -1)
    for isa in (instruction_set(), "portable"):
        status = kernel(name, isa)(ctypes.byref(filled), code, int(backward))
        if status != UNKNOWN_TYPE:
            break
    if status == UNKNOWN_TYPE:
        raise TypeError(f"the native {name!r} kernel has no version for {values}")
    if status == OUT_OF_MEMORY:
        raise MemoryError(f"not enough memory for the native {name!r} kernel")


def elu(x: Tensor) -> Tensor:
    """ELU of contiguous numbers, the same bits on any number of threads.

    Args:
        x: Any shape, ``float32`` or ``float64``.
    """
    out = torch.empty_like(x)
    counts = [ctypes.c_int64(n) for n in (x.numel(), torch.get_num_threads())]
    for isa in (instruction_set(), "portable"):
        if kernel("elu", isa)(*pointers([x, out]), *counts, VALUE_CODES[x.dtype]) != UNKNOWN_TYPE:
            break
    return out


def fingerprint(matrix: Tensor, samples: int) -> int:
    """A hash of the entries of a matrix of whole numbers.

    Args:
        matrix: Shape ``[rows, columns]``, ``int32`` or ``int64``.
        samples: How many entries of each row are taken, evenly spread.
    """
    numbers = (matrix.element_size(), *matrix.shape, *matrix.stride(), samples)
    return _fingerprint()(matrix.data_ptr() or address(matrix), *numbers)


@cache
def _fingerprint() -> Callable[..., int]:
    run = library().graphattn_fingerprint
    run.argtypes, run.restype = [ctypes.c_void_p, *6 * [ctypes.c_int64]], ctypes.c_uint64
    function: Callable[..., int] = run
    return function


def address(tensor: Tensor) -> int:
    """Where the entries of a tensor are. The caller keeps it alive.

    Raises:
        TypeError: If they are in no memory that can be read here.
    """
    place = tensor.data_ptr()
    if place == 0 and tensor.numel() > 0:
        raise TypeError(f"a {type(tensor).__name__} on {tensor.device} has no memory to read")
    return place


def arguments(struct: type[ctypes.Structure], **values: Any) -> ctypes.Structure:
    """Fill the arguments of a kernel: addresses of tensors or lists of them, numbers, ``None``.

    The caller keeps the tensors alive and has checked their types and shapes.
    """
    filled = struct()
    for name, value in values.items():
        if isinstance(value, Tensor):
            value = value.data_ptr() or address(value)
        elif isinstance(value, list):
            addresses = [None if one is None else one.data_ptr() or address(one) for one in value]
            value = type(getattr(filled, name))(*addresses)
        setattr(filled, name, value)
    return filled


def empty(shape: Sequence[int], dtype: torch.dtype, *, zero: bool = False) -> Tensor:
    """Fresh memory for results, on huge pages where it is large and the system has them.

    Args:
        shape: Sizes.
        dtype: Type of the entries.
        zero: Fill it with zeros.
    """
    out = torch.empty(shape, dtype=dtype)
    if out.nbytes >= HUGE:
        library().graphattn_use_huge_pages(
            ctypes.c_void_p(out.data_ptr()), ctypes.c_int64(out.nbytes)
        )
    return out.zero_() if zero else out


def on_huge_pages(tensor: Tensor) -> Tensor:
    """A tensor of which random rows will be read, contiguous and where that costs least.

    Args:
        tensor: Any tensor; a copy is made of one that is large.
    """
    if tensor.nbytes < SCATTERED:
        return tensor.contiguous()
    return borrow(tensor.shape, tensor.dtype).copy_(tensor)


def borrow(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Memory that nobody else will see, to be given back; what is in it is left over from before.

    Fresh memory costs the system a zero for every byte, which on large graphs is a tenth of a step.

    Args:
        shape: Sizes.
        dtype: Type of the entries.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < HUGE:
        return empty(shape, dtype)
    fitting = [one for one in _spare if size <= one.nbytes <= 2 * size]
    if not fitting:
        return empty(shape, dtype)
    best = min(fitting, key=lambda one: one.nbytes)
    try:
        _spare.remove(best)
    except ValueError:  # another thread was faster
        return empty(shape, dtype)
    return best.as_tensor(shape, dtype)


def give_back(*tensors: Tensor | None) -> None:
    """Keep the memory of tensors for :func:`borrow`, up to a bound; nobody reads them any more.

    Args:
        *tensors: Tensors; several may share memory.
    """
    storages = [one.untyped_storage() for one in tensors if one is not None and one.nbytes >= HUGE]
    for storage in {one.data_ptr(): one for one in storages}.values():
        _spare.append(_Spare(storage))
    while sum(one.nbytes for one in _spare) > SPARE_BYTES:
        _spare.pop(0)


def rows(x: Tensor) -> Tensor:
    """``x`` if each of its rows is contiguous, as kernels need it, else a copy."""
    return x if x.numel() == 0 or x[0].is_contiguous() else x.contiguous()


def wants_padding(channels: int) -> bool:
    """Whether kernels are faster on rows of a width that is filled up to a multiple of 8.

    Rows of a width such as 7 can't be worked on in vectors, and edges outnumber nodes.
    """
    return 0 < -channels % LANES <= LANES // 2


def pad_channels(x: Tensor) -> Tensor:
    """Fill the last dimension up to a multiple of 8 with zeros."""
    return pad(x, (0, -x.size(-1) % LANES))


def pointers(tensors: Sequence[Tensor]) -> list[ctypes.c_void_p]:
    """Addresses of contiguous CPU tensors, in order. The caller keeps the tensors alive."""
    return [ctypes.c_void_p(address(tensor)) for tensor in tensors]
