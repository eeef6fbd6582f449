"""CPU form of :func:`graphattn.ops.sample_neighbors`, in C++."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops.sample.reference import NeighborSample, bad_row, bad_source, long_row

__all__ = ["sample_neighbors"]

# `Status` of sample.cpp.
_BAD_ROW, _BAD_SOURCE, _LONG_ROW, _NO_MEMORY = 1, 2, 3, 4


def sample_neighbors(
    rowptr: Tensor,
    col: Tensor,
    seeds: Tensor,
    num_neighbors: Sequence[int],
    replace: bool,
    seed: int,
) -> NeighborSample:
    """See :func:`graphattn.ops.sample_neighbors`."""
    rowptr, col, seeds = rowptr.contiguous(), col.contiguous(), seeds.contiguous()
    hops = len(num_neighbors)
    handle, place = ctypes.c_void_p(), ctypes.c_int64()
    status = _function("sample", rowptr)(
        *_native.pointers([rowptr, col]),
        *(ctypes.c_int64(n) for n in (rowptr.numel() - 1, col.numel())),
        *_native.pointers([seeds]),
        ctypes.c_int64(seeds.numel()),
        (ctypes.c_int64 * hops)(*num_neighbors),
        *(ctypes.c_int64(n) for n in (hops, replace)),
        ctypes.c_uint64(seed),
        ctypes.c_int64(torch.get_num_threads()),
        ctypes.byref(place),
        ctypes.byref(handle),
    )
    if status != 0:
        raise _failure(status, place.value, rowptr, col)
    try:
        return _copied(handle, hops, rowptr)
    finally:
        _function("sample_free", rowptr)(handle)


def _copied(handle: ctypes.c_void_p, hops: int, like: Tensor) -> NeighborSample:
    nodes_per_hop, edges_per_hop = (ctypes.c_int64 * (hops + 1))(), (ctypes.c_int64 * hops)()
    _function("sample_sizes", like)(handle, nodes_per_hop, edges_per_hop)
    nodes = like.new_empty(sum(nodes_per_hop))
    edge_index = like.new_empty(2, sum(edges_per_hop))
    position = like.new_empty(edge_index.size(1))
    _function("sample_copy", like)(handle, *_native.pointers([nodes, *edge_index, position]))
    return NeighborSample(nodes, edge_index, position, list(nodes_per_hop), list(edges_per_hop))


def _function(name: str, like: Tensor) -> Callable[..., int]:
    """The function for the dtype of ``like``."""
    function: Callable[..., int] = getattr(
        _native.library(), f"graphattn_{name}_i{like.element_size() * 8}"
    )
    return function


def _failure(status: int, place: int, rowptr: Tensor, col: Tensor) -> Exception:
    if status == _BAD_SOURCE:
        return bad_source(place, int(col[place]), rowptr.numel() - 1)
    if status == _NO_MEMORY:
        return MemoryError("not enough memory for the sampled subgraph")
    start, end = rowptr[place : place + 2].tolist()
    if status == _LONG_ROW:
        return long_row(place, end - start)
    return bad_row(place, start, end, col.numel())
