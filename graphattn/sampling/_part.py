"""Attributes of a graph for some of its nodes and edges, of kinds that PyG can't select from."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import HeteroSamplerOutput, SamplerOutput

__all__ = ["Apart"]

_TORCH_SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)


@dataclass(frozen=True)
class Apart:
    """What of a graph PyG's loaders can't select from: lists, sparse rows, ``adj_t`` of torch."""

    rest: Data | HeteroData
    """The graph without it."""
    values: tuple[_Attribute, ...]

    @classmethod
    def of(cls, data: Any, before: Apart | None = None) -> Apart | None:
        """Look for such attributes.

        Args:
            data: A graph, which stays as it is.
            before: What was found before, in which matrices are sorted already.

        Returns:
            ``None`` if there are none.
        """
        if isinstance(data, Data):
            stores: list[tuple[Any, Any]] = [(None, data._store)]
        elif isinstance(data, HeteroData):
            stores = [*data.node_items(), *data.edge_items()]
        else:
            return None
        values, known = [], {id(value.given): value for value in before.values} if before else {}
        for key, store in stores:
            for name, value in store.items():
                kind = _kind(store, name, value)
                if kind == "adj_t":
                    found = known.get(id(value))
                    rows = found.value if found is not None else value.to_sparse_csr()
                    values.append(_Attribute(key, name, rows, kind, value))
                elif kind is not None:
                    values.append(_Attribute(key, name, value, kind, value))
        return cls(_without(data, values), tuple(values)) if values else None

    def add(
        self, batch: Data | HeteroData, out: SamplerOutput | HeteroSamplerOutput, edge_order: Any
    ) -> Data | HeteroData:
        """Give a batch its part of these attributes.

        Args:
            batch: What PyG made of the rest of the graph.
            out: The nodes and edges of the batch.
            edge_order: The ``edge_permutation`` of the sampler that made it.
        """
        for value in self.values:
            if isinstance(out, HeteroSamplerOutput):
                store, node, edges = batch[value.key], out.node, out.edge or {}
                part = None
                if value.kind == "node":
                    index: Tensor | None = node[value.key]
                else:
                    src, _, dst = value.key
                    index = _ordered(edges.get(value.key), (edge_order or {}).get(value.key))
                    part = out.row[value.key], out.col[value.key], len(node[src]), len(node[dst])
            else:
                store = batch._store
                index = out.node if value.kind == "node" else _ordered(out.edge, edge_order)
                part = out.row, out.col, len(out.node), len(out.node)
            if value.kind == "adj_t" and part is not None:
                store[value.name] = _matrix(value.value, value.given.layout, index, *part)
            else:
                store[value.name] = None if index is None else _select(value.value, index)
        return batch


@dataclass(frozen=True)
class _Attribute:
    key: Any
    """Type of the nodes or edges that it belongs to; ``None`` where there is one."""
    name: str
    value: Any
    kind: str
    """One of ``node``, ``edge``, ``adj_t``."""
    given: Any
    """The value as it is in the graph."""


def _kind(store: Any, name: str, value: Any) -> str | None:
    """What an attribute belongs to if PyG can't select from it."""
    sparse = isinstance(value, Tensor) and value.layout in _TORCH_SPARSE
    if name == "adj_t":
        return "adj_t" if sparse else None
    # Asked of all, since the answers are kept and serve for a graph without the edges, too.
    kind = "node" if store.is_node_attr(name) else "edge" if store.is_edge_attr(name) else None
    return kind if sparse or isinstance(value, (list, tuple)) else None


def _without(data: Data | HeteroData, values: list[_Attribute]) -> Data | HeteroData:
    rest = copy(data)
    stores = [rest._store] if isinstance(rest, Data) else list(rest.node_stores)
    # Numbers of nodes may be known by what is left out.
    for store, count in [(store, store.num_nodes) for store in stores]:
        if count is not None:
            store.num_nodes = count
    for value in values:
        del (rest._store if value.key is None else rest[value.key])[value.name]
    return rest


def _ordered(edges: Tensor | None, order: Tensor | None) -> Tensor | None:
    return edges if edges is None or order is None else order[edges.long()]


def _select(value: Any, index: Tensor) -> Any:
    """Entries of an attribute."""
    if isinstance(value, (list, tuple)):
        return [value[i] for i in index.tolist()]
    index = index.to(value.device)
    if value.layout == torch.sparse_csr:
        return _sparse_rows(value, index)
    return value.index_select(0, index)


def _matrix(
    adj_t: Tensor,
    layout: torch.layout,
    edges: Tensor | None,
    row: Tensor,
    col: Tensor,
    num_src: int,
    num_dst: int,
) -> Tensor:
    """The edges of a batch as a transposed adjacency matrix; parallel ones are added."""
    values = adj_t.values()
    values = values.new_ones(len(row)) if edges is None else values[edges.to(values.device)]
    place = torch.stack([col, row]).to(values.device)
    matrix = torch.sparse_coo_tensor(place, values, (num_dst, num_src)).coalesce()
    return matrix if layout == torch.sparse_coo else matrix.to_sparse(layout=layout)


def _sparse_rows(x: Tensor, index: Tensor) -> Tensor:
    """Rows of a ``torch.sparse_csr`` matrix, from which torch has no selection."""
    start = x.crow_indices()[index]
    count = x.crow_indices()[index + 1] - start
    crow = torch.cat([count.new_zeros(1), count.cumsum(0)])
    entry = torch.arange(int(crow[-1]), device=x.device)
    entry = entry + torch.repeat_interleave(start - crow[:-1], count)
    return torch.sparse_csr_tensor(
        crow.to(start.dtype),
        x.col_indices()[entry],
        x.values()[entry],
        (index.numel(), x.size(1)),
        check_invariants=False,
    )
