"""An edge list sorted by destination, and its transpose."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._check import check_count
from graphattn.ops._dispatch import choose
from graphattn.ops._kept import kept
from graphattn.ops.self_loops import append_self_loops

__all__ = ["CSR", "Pieces", "build_csr", "cached_csr", "cached_pieces"]

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


class Pieces(NamedTuple):
    """Pieces of the rows that are too long for one worker, in the order of rows and edges."""

    hub: Tensor
    """The rows that were cut. Shape ``[K]``."""
    first: Tensor
    """First piece of each of them, then the number of pieces. Shape ``[K + 1]``."""
    row: Tensor
    """Row of every piece. Shape ``[P]``."""
    begin: Tensor
    """First position of every piece. Shape ``[P]``."""


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
    if not isinstance(edge_index, Tensor):
        raise TypeError(f"'edge_index' must be a tensor, got {type(edge_index).__name__}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"'edge_index' must have shape [2, E], got {list(edge_index.shape)}")
    if edge_index.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"'edge_index' must be int32 or int64, got {edge_index.dtype}")
    if choose("build_csr", edge_index.device.type).implementation == "cpu":
        return _native_csr(edge_index, num_src, num_dst)
    return _reference_csr(edge_index, num_src, num_dst)


def cached_csr(edge_index: Tensor, num_self_loops: int, *, num_src: int, num_dst: int) -> CSR:
    """CSR of a graph with its self-loops, :func:`kept` beside the edge list.

    Args:
        edge_index: Shape ``[2, E]``; or only the destinations, shape ``[E]``, where sources are of
            no interest.
        num_self_loops: Nodes with a loop, as in :func:`graphattn.ops.append_self_loops`; edges that
            do not count there are left out here, and ``edge`` numbers the loops behind the edges.
        num_src: Number of source nodes.
        num_dst: Number of destination nodes.

    Returns:
        The sorted views, in ``int32`` where all numbers fit.
    """
    sizes = (num_self_loops, num_src, num_dst)
    return kept(edge_index, ("csr", *sizes), lambda: _csr_with_loops(edge_index, *sizes))


def cached_pieces(ptr: Tensor, size: int) -> Pieces:
    """Cut rows of more than ``size`` edges into pieces, :func:`kept` beside the row pointers.

    Args:
        ptr: ``rowptr`` or ``tptr`` of a :class:`CSR`. Shape ``[N + 1]``.
        size: Edges of a piece.

    Returns:
        The pieces, in the dtype of ``ptr``.
    """
    return kept(ptr, ("pieces", size), lambda: _cut(ptr, size))


def _cut(ptr: Tensor, size: int) -> Pieces:
    degree = ptr.diff()
    hub = (degree > size).nonzero().squeeze(1)
    count = (degree[hub] + size - 1) // size
    first = torch.cat([count.new_zeros(1), count.cumsum(0)])
    owner = torch.repeat_interleave(count)
    begin = ptr[hub][owner] + (torch.arange(len(owner), device=ptr.device) - first[owner]) * size
    parts = (hub, first, hub[owner], begin)
    return Pieces(*(part.to(ptr.dtype) for part in parts))


def _csr_with_loops(edge_index: Tensor, num_self_loops: int, num_src: int, num_dst: int) -> CSR:
    if edge_index.dim() == 1:
        edge_index = edge_index.expand(2, -1)
    edges, counted = append_self_loops(edge_index, num_self_loops)
    kept = counted.nonzero().squeeze(1)
    edges = edges[:, kept]
    if max(num_src, num_dst, counted.numel()) <= _INT32_MAX:
        edges, kept = edges.int(), kept.int()
    csr = build_csr(edges, num_src=num_src, num_dst=num_dst)
    return csr._replace(edge=kept[csr.edge])


def _reference_csr(edge_index: Tensor, num_src: int, num_dst: int) -> CSR:
    src, dst = edge_index
    for index, count in ((src, num_src), (dst, num_dst)):
        outside = (index < 0) | (index >= count)
        if outside.any():
            raise _out_of_range(edge_index, int(outside.nonzero()[0]), num_src, num_dst)
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
    if dst.dtype == torch.int32 and max(num_src, num_dst, dst.numel()) > _INT32_MAX:
        raise ValueError("'edge_index' is int32, too narrow for this graph; pass int64")
    run = getattr(_native.library(), f"graphattn_build_csr_i{dst.element_size() * 8}")
    run.restype = ctypes.c_int64
    sizes = (num_dst + 1, len(dst), len(dst), num_src + 1, len(dst), len(dst))
    csr = CSR(*(dst.new_empty(size) for size in sizes))
    counts = [ctypes.c_int64(n) for n in (len(dst), num_src, num_dst)]
    bad = run(*_native.pointers([src, dst]), *counts, *_native.pointers(csr))
    if bad >= 0:
        raise _out_of_range(edge_index, bad, num_src, num_dst)
    return csr


def _out_of_range(edge_index: Tensor, edge: int, num_src: int, num_dst: int) -> ValueError:
    src, dst = edge_index[:, edge].tolist()
    return ValueError(
        f"'edge_index' holds the edge {src} -> {dst} (column {edge}), but there are "
        f"{num_src} source and {num_dst} destination nodes"
    )
