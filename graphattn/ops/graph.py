"""An edge list prepared once for all kernels: by destination and, for backward, by source."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

import torch
from torch import Tensor

from graphattn.ops import _native, kept
from graphattn.ops._csr import build_csr, out_of_range
from graphattn.ops.self_loops import append_self_loops

__all__ = ["Graph", "Pieces", "forget_graphs", "prepare", "sort_rows"]

_MOST_NODES, _MOST_EDGES = 2**31 - 1, 2**32 - 1
_RECENT_GRAPHS, _RECENT_BYTES = 8, 1 << 29

_recent: OrderedDict[Hashable, Graph] = OrderedDict()


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


class Graph:
    """Edges with their self-loops in rows by destination, and in rows by source once asked for.

    Positions number the edges in rows by destination; rows keep the user's order. Edges that do not
    count (see :func:`graphattn.ops.append_self_loops`) have none.

    Attributes:
        num_src: Number of sources.
        num_dst: Number of destinations.
        num_edges: Number of positions.
        num_rows: Edges of the user and self-loops after them, counted or not; what holds something
            of every edge has so many rows.
        rowptr: First position of every destination. Shape ``[N_dst + 1]``.
        col: Source of the edge at each position. Shape ``[num_edges]``.
        edge: Its row among the ``num_rows``. Shape ``[num_edges]``.
    """

    def __init__(
        self, num_src: int, num_dst: int, num_rows: int, rowptr: Tensor, col: Tensor, edge: Tensor
    ) -> None:
        self.num_src = num_src
        self.num_dst = num_dst
        self.num_edges = len(col)
        self.num_rows = num_rows
        self.rowptr = rowptr
        self.col = col
        self.edge = edge
        self.native: _native.Graph | None = None
        self._by_source: tuple[Tensor, Tensor, Tensor] | None = None
        self._pieces: dict[tuple[bool, int], Pieces] = {}

    @property
    def by_source(self) -> tuple[Tensor, Tensor, Tensor]:
        """First place of every source, ``[N_src + 1]``; per place destination and position."""
        if self._by_source is None:
            with torch.inference_mode(False):
                self._by_source = self._transpose()
        return self._by_source

    @property
    def transposed(self) -> _native.Graph:
        """The native graph with its rows by source."""
        if self.native is None:
            raise TypeError("this graph was not made for native kernels")
        if not self.native.tptr:
            for name, array in zip(("tptr", "trow", "position"), self.by_source, strict=True):
                setattr(self.native, name, array.data_ptr())
        return self.native

    @property
    def nbytes(self) -> int:
        """Memory of all arrays, those by source included."""
        return 2 * sum(array.nbytes for array in (self.rowptr, self.col, self.edge))

    def pieces(self, size: int, *, by_source: bool) -> Pieces:
        """Cut rows of more than ``size`` edges into pieces.

        Args:
            size: Edges of a piece.
            by_source: Cut the rows by source, else those by destination.
        """
        key = (by_source, size)
        if key not in self._pieces:
            with torch.inference_mode(False):
                self._pieces[key] = _cut(self.by_source[0] if by_source else self.rowptr, size)
        return self._pieces[key]

    def _transpose(self) -> tuple[Tensor, Tensor, Tensor]:
        arrays = (
            torch.empty(self.num_src + 1, dtype=torch.int64),
            torch.empty(self.num_edges, dtype=torch.int32),
            torch.empty(self.num_edges, dtype=torch.uint32),
        )
        if self.native is None:
            raise TypeError("a graph for other kernels has its rows by source from the start")
        run = _native.library().graphattn_transpose
        run(ctypes.byref(self.native), *_native.pointers(arrays))
        return arrays


def prepare(
    edge_index: Tensor,
    *,
    num_src: int,
    num_dst: int,
    num_self_loops: int = 0,
    flipped: bool = False,
    native: bool,
) -> Graph:
    """The graph of an edge list, sorted once for as long as the edge list lives unchanged.

    An edge list that is new but equal to one of the last few takes over what these have.

    Args:
        edge_index: Shape ``[2, E]``; or ``[E]`` where every edge leaves the node that it enters.
        num_src: Number of sources.
        num_dst: Number of destinations.
        num_self_loops: Nodes with a self-loop, see :func:`graphattn.ops.append_self_loops`.
        flipped: Destinations come first in ``edge_index``.
        native: For the native kernels; else for others, with arrays on the device of the edges.

    Raises:
        ValueError: If an index is out of range, or there are more nodes or edges than kernels can
            number.
    """
    what = (num_src, num_dst, num_self_loops, flipped, native)
    return kept.kept(edge_index, what, lambda: _recently_or_now(edge_index, what))


def forget_graphs() -> None:
    """Forget all that was prepared of edge lists.

    Ops and layers sort an edge list when they first see it. What they made is dropped when the
    tensor is, and made anew when it has changed: torch counts its changes, and on the CPU a
    checksum sees others (through ``.data``, or in memory shared with NumPy or another process), of
    all entries up to 32,768 edges and of a sample of 1,024 edges beyond. Call this after a change
    of a few edges of a larger graph that torch did not see.

    Example:
        >>> forget_graphs()
    """
    kept.forget()
    _recent.clear()


def _recently_or_now(edge_index: Tensor, what: tuple[int, int, int, bool, bool]) -> Graph:
    """The graph of an equal edge list among the last ones, or a new one."""
    if not what[-1]:
        return _sorted(edge_index, *what[:-1])
    content = kept.fingerprint(edge_index, whole=True)
    key = (content, edge_index.shape, edge_index.dtype, *what)
    graph = _recent.pop(key, None)
    if graph is None:
        with torch.inference_mode(False):
            graph = sort_rows(edge_index, *what[:-1])
    if graph.nbytes <= _RECENT_BYTES:
        _recent[key] = graph
    while len(_recent) > _RECENT_GRAPHS or sum(g.nbytes for g in _recent.values()) > _RECENT_BYTES:
        _recent.popitem(last=False)
    return graph


def sort_rows(
    edge_index: Tensor,
    num_src: int,
    num_dst: int,
    num_self_loops: int = 0,
    flipped: bool = False,
) -> Graph:
    """The same for native kernels, in any case anew; see :func:`prepare`."""
    num_edges = edge_index.size(-1)
    num_rows = num_edges + num_self_loops
    if max(num_src, num_dst) > _MOST_NODES or num_rows > _MOST_EDGES:
        raise ValueError(
            f"'edge_index' joins {num_src} and {num_dst} nodes by {num_rows} edges; kernels number "
            f"at most {_MOST_NODES} nodes and {_MOST_EDGES} edges"
        )
    src, dst = (edge_index, edge_index) if edge_index.dim() == 1 else edge_index
    if flipped:
        src, dst = dst, src
    rowptr = torch.empty(num_dst + 1, dtype=torch.int64)
    col = torch.empty(num_rows, dtype=torch.int32)
    edge = torch.empty(num_rows, dtype=torch.uint32)
    native = _native.Graph(num_src=num_src, num_dst=num_dst)
    run = _native.library().graphattn_build_rows
    run.restype = ctypes.c_int64
    sizes = (edge_index.element_size(), src.stride(0), num_edges, num_self_loops)
    bad = run(
        *_native.pointers([src, dst]),
        *map(ctypes.c_int64, sizes),
        ctypes.byref(native),
        *_native.pointers([rowptr, col, edge]),
    )
    if bad >= 0:
        raise out_of_range(edge_index, bad, num_src, num_dst, flipped=flipped)
    if native.num_edges < num_rows:
        col, edge = col[: native.num_edges].clone(), edge[: native.num_edges].clone()
    native.rowptr, native.col, native.edge = (a.data_ptr() for a in (rowptr, col, edge))
    graph = Graph(num_src, num_dst, num_rows, rowptr, col, edge)
    graph.native = native
    return graph


def _sorted(
    edge_index: Tensor, num_src: int, num_dst: int, num_self_loops: int, flipped: bool
) -> Graph:
    """The same in plain torch, on any device, in ``int32`` where all numbers fit."""
    if edge_index.dim() == 1:
        edge_index = edge_index.expand(2, -1)
    if flipped:
        edge_index = edge_index.flip(0)
    edges, counted = append_self_loops(edge_index, num_self_loops)
    rows = counted.nonzero().squeeze(1)
    edges = edges[:, rows]
    if max(num_src, num_dst, counted.numel()) <= _MOST_NODES:
        edges, rows = edges.int(), rows.int()
    csr = build_csr(edges, num_src=num_src, num_dst=num_dst)
    graph = Graph(num_src, num_dst, len(counted), csr.rowptr, csr.col, rows[csr.edge])
    graph._by_source = (csr.tptr, csr.trow, csr.position)
    return graph


def _cut(ptr: Tensor, size: int) -> Pieces:
    degree = ptr.diff()
    hub = (degree > size).nonzero().squeeze(1)
    count = (degree[hub] + size - 1) // size
    first = torch.cat([count.new_zeros(1), count.cumsum(0)])
    owner = torch.repeat_interleave(count)
    begin = ptr[hub][owner] + (torch.arange(len(owner), device=ptr.device) - first[owner]) * size
    parts = (hub, first, hub[owner], begin)
    return Pieces(*(part.to(ptr.dtype) for part in parts))
