"""The compiled library, reached through ctypes; absent where no compiler was at hand."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

if TYPE_CHECKING:
    from graphattn.ops._csr import CSR

__all__ = [
    "BLOCK",
    "VALUE_CODES",
    "Graph",
    "arguments",
    "call",
    "empty",
    "empty_like",
    "graph",
    "instruction_set",
    "joined",
    "kernel",
    "library",
    "pad_channels",
    "pointers",
    "rows",
    "wants_padding",
    "why_missing",
]

# In the order of GraphattnGraph, which is that of the fields of `graphattn.ops.CSR`.
CSR_ARRAYS = ("rowptr", "col", "edge", "tptr", "trow", "position")
VALUE_CODES = MappingProxyType(
    {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
)
"""How the kernels number the types of values."""

# What kernels return, see `for_type` of rows.hpp.
UNKNOWN_TYPE, OUT_OF_MEMORY = 1, 2
LANES = 8
BLOCK = 64
"""Rows of a graph whose contributions to a parameter are summed first; `kBlock` of common.hpp."""

HUGE = 1 << 22
"""Bytes from which on results are put on huge pages."""

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
    """``GraphattnGraph`` of ``common.hpp``: sizes, then the arrays of a CSR."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("num_src", "num_dst", "num_edges")),
        *((name, ctypes.c_void_p) for name in CSR_ARRAYS),
    ]


def graph(csr: CSR) -> Graph:
    """The arrays of a CSR as kernels take them."""
    sizes = (len(csr.tptr) - 1, len(csr.rowptr) - 1, len(csr.col))
    return Graph(*sizes, *(array.data_ptr() for array in csr))


def call(
    name: str,
    filled: ctypes.Structure,
    values: torch.dtype,
    indices: torch.dtype,
    backward: bool,
) -> None:
    """Run a kernel.

    Args:
        name: Name of the kernel.
        filled: Its arguments, from :func:`arguments`.
        values: Type of the node features.
        indices: Type of the arrays of the graph.
        backward: Whether to compute gradients.

    Raises:
        TypeError: If the kernel does not know the type of the values here.
        MemoryError: If the memory does not suffice.
    """
    code = VALUE_CODES.get(values, -1)
    for isa in (instruction_set(), "portable"):
        status = kernel(name, isa)(ctypes.byref(filled), code, indices.itemsize, int(backward))
        if status != UNKNOWN_TYPE:
            break
    if status == UNKNOWN_TYPE:
        raise TypeError(f"the native {name!r} kernel has no version for {values} here")
    if status == OUT_OF_MEMORY:
        raise MemoryError(f"not enough memory for the native {name!r} kernel")


def arguments(struct: type[ctypes.Structure], **values: Any) -> ctypes.Structure:
    """Fill the arguments of a kernel: addresses of tensors or lists of them, numbers, ``None``.

    The caller keeps the tensors alive and has checked their types and shapes.
    """
    filled = struct()
    for name, value in values.items():
        if isinstance(value, list):
            value = type(getattr(filled, name))(*(tensor.data_ptr() for tensor in value))
        setattr(filled, name, value.data_ptr() if isinstance(value, Tensor) else value)
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


def joined(blocks: Sequence[Tensor]) -> Tensor:
    """Blocks of columns as one matrix; without a copy where they lie side by side in one.

    Args:
        blocks: Shapes ``[N, size]``.
    """
    first, width = blocks[0], sum(block.size(1) for block in blocks)
    if _side_by_side(blocks, width):
        return first.as_strided((first.size(0), width), (width, 1))
    return torch.cat(list(blocks), dim=1)


def empty_like(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Fresh memory for the gradients of several tensors.

    Tensors that are blocks of columns of one matrix get gradients that are such blocks, too, so
    that nobody has to copy them together.

    Args:
        tensors: The tensors, of one dtype where they are such blocks.
    """
    first = tensors[0]
    width = sum(math.prod(tensor.shape[1:]) for tensor in tensors)
    flat = [tensor.flatten(1) if rows(tensor) is tensor else tensor for tensor in tensors]
    if not (all(tensor.dim() == 2 for tensor in flat) and _side_by_side(flat, width)):
        return [empty(tensor.shape, tensor.dtype) for tensor in tensors]
    matrix = empty((first.size(0), width), first.dtype)
    blocks = torch.split(matrix, [tensor.size(1) for tensor in flat], dim=1)
    return [block.view(tensor.shape) for block, tensor in zip(blocks, tensors, strict=True)]


def _side_by_side(blocks: Sequence[Tensor], width: int) -> bool:
    """Whether matrices are all the columns, in their order, of one matrix of that width."""
    first, place = blocks[0], blocks[0].data_ptr()
    for block in blocks:
        same = block.dtype == first.dtype and block.size(0) == first.size(0) > 0
        if not same or block.stride() != (width, 1) or block.data_ptr() != place:
            return False
        place += block.size(1) * block.element_size()
    return True


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
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
