"""An edge list sorted by destination, and its transpose."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._dispatch import choose
from graphattn.ops.checks import check_count, plain

__all__ = ["CSR", "build_csr", "out_of_range"]

_INT32_MAX = 2**31 - 1


class CSR(NamedTuple):
    """Compressed rows of a graph by destination, and by source.

    All tensors have the dtype of the edge list they were built from.
    """

    rowptr: Tensor
    """First position of every destination. Shape ``[N_dst + 1]``."""
    col: Tensor
    """Source of the edge at each position. Shape ``[E]``."""
    edge: Tensor
    """Column of ``edge_index`` at each position; rows keep the user's order. Shape ``[E]``."""
    tptr: Tensor
    """First transposed position of every source. Shape ``[N_src + 1]``."""
    trow: Tensor
    """Destination of the edge at each transposed position. Shape ``[E]``."""
    position: Tensor
    """Position of each transposed edge in the rows by destination. Shape ``[E]``."""


def build_csr(edge_index: Tensor, *, num_src: int, num_dst: int) -> CSR:
    """Sort an edge list by destination and by source in linear time.

    Args:
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        num_src: Number of source nodes.
        num_dst: Number of destination nodes.

    Returns:
        The sorted views. Both sorts are stable.

    Raises:
        TypeError: If ``edge_index`` does not hold ``int32`` or ``int64``.
        ValueError: If it has another shape, or an index out of range.

    Example:
        >>> csr = build_csr(torch.tensor([[2, 0, 1], [1, 1, 0]]), num_src=3, num_dst=2)
        >>> csr.rowptr.tolist(), csr.col.tolist(), csr.edge.tolist()
        ([0, 1, 3], [1, 2, 0], [2, 0, 1])
    """
    for name, count in (("num_src", num_src), ("num_dst", num_dst)):
        check_count(count, name)
    edge_index = plain(edge_index, "edge_index")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"'edge_index' must have shape [2, E], got {list(edge_index.shape)}")
    if edge_index.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"'edge_index' must be int32 or int64, got {edge_index.dtype}")
    narrow = edge_index.dtype == torch.int32
    if narrow and max(num_src, num_dst, edge_index.size(1)) > _INT32_MAX:
        raise ValueError("'edge_index' is int32, too narrow for this graph; pass int64")
    if choose("build_csr", edge_index.device.type).implementation == "cpu":
        return _native_csr(edge_index, num_src, num_dst)
    return _reference_csr(edge_index, num_src, num_dst)


def _reference_csr(edge_index: Tensor, num_src: int, num_dst: int) -> CSR:
    src, dst = edge_index
    for index, count in ((src, num_src), (dst, num_dst)):
        outside = (index < 0) | (index >= count)
        if outside.any():
            raise out_of_range(edge_index, int(outside.nonzero()[0]), num_src, num_dst)
    edge = torch.argsort(dst, stable=True)
    col = src[edge]
    position = torch.argsort(col, stable=True)
    return CSR(
        rowptr=_ptr(dst, num_dst),
        col=col,
        edge=edge.to(dst.dtype),
        tptr=_ptr(col, num_src),
        trow=dst[edge][position],
        position=position.to(dst.dtype),
    )


def _ptr(index: Tensor, count: int) -> Tensor:
    """Running count of how often each of ``count`` values occurs, zero first."""
    ptr = index.new_zeros(count + 1)
    ptr[1:] = torch.bincount(index, minlength=count).cumsum(0)
    return ptr


def _native_csr(edge_index: Tensor, num_src: int, num_dst: int) -> CSR:
    src, dst = edge_index.contiguous()
    run = getattr(_native.library(), f"graphattn_build_csr_i{dst.element_size() * 8}")
    run.restype = ctypes.c_int64
    sizes = (num_dst + 1, len(dst), len(dst), num_src + 1, len(dst), len(dst))
    csr = CSR(*(dst.new_empty(size) for size in sizes))
    counts = [ctypes.c_int64(n) for n in (len(dst), num_src, num_dst)]
    bad = run(*_native.pointers([src, dst]), *counts, *_native.pointers(csr))
    if bad >= 0:
        raise out_of_range(edge_index, bad, num_src, num_dst)
    return csr


def out_of_range(
    edge_index: Tensor, edge: int, num_src: int, num_dst: int, *, flipped: bool = False
) -> ValueError:
    """What to raise of an edge list with an edge between nodes that are not there.

    Args:
        edge_index: Shape ``[2, E]`` or ``[E]``.
        edge: Number of the edge.
        num_src: Number of sources.
        num_dst: Number of destinations.
        flipped: Destinations come first in ``edge_index``.
    """
    if edge_index.dim() == 1:
        bad = int(edge_index[edge])
        return ValueError(f"'index' must lie in [0, {num_dst}), one entry per node; got {bad}")
    counts = (num_dst, num_src) if flipped else (num_src, num_dst)
    row, bad, count = next(
        (row, node, count)
        for row, (node, count) in enumerate(zip(edge_index[:, edge].tolist(), counts, strict=True))
        if not 0 <= node < count
    )
    return ValueError(
        f"'edge_index[{row}]' must lie in [0, {count}), one entry per node; got {bad} in column "
        f"{edge}"
    )
