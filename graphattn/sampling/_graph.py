"""What a sampler needs of a graph, whatever holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, FeatureStore, GraphStore, HeteroData
from torch_geometric.data.remote_backend_utils import num_nodes as count_nodes
from torch_geometric.data.storage import BaseStorage

from graphattn.ops import build_csr
from graphattn.ops.sample.relations import Relation

__all__ = ["EDGE", "NODE", "EdgeType", "Graph", "graph_of"]

EdgeType = tuple[str, str, str]

NODE = "node"
"""Name of the nodes of a graph of one type."""
EDGE: EdgeType = (NODE, "to", NODE)
"""Name of its edges."""
_INT32_MAX = 2**31 - 1


@dataclass
class Graph:
    """Sorted edges by type, and what sampling depends on besides."""

    is_hetero: bool
    num_nodes: dict[str, int]
    relations: dict[EdgeType, Relation] = field(default_factory=dict)
    edge: dict[EdgeType, Tensor | None] = field(default_factory=dict)
    """Edge of the graph at each position; the position itself if ``None``."""
    node_time: dict[str, Tensor] = field(default_factory=dict)

    def add(self, key: EdgeType, edges: _Edges, store: Mapping[str, Any]) -> None:
        """Add the edges of a type, with what ``store`` holds for them."""
        of = {name: _at(store.get(name), name, edges) for name in ("weight", "time")}
        if of["weight"] is not None:
            of["weight"] = _checked_weights(of["weight"])
        self.relations[key] = Relation(edges.rowptr, edges.col, of["weight"], of["time"])
        self.edge[key] = edges.edge


@dataclass(frozen=True)
class _Edges:
    rowptr: Tensor
    col: Tensor
    edge: Tensor | None


def graph_of(data: Any, *, weight_attr: str | None = None, time_attr: str | None = None) -> Graph:
    """Sort the edges of a graph by destination.

    Args:
        data: A :class:`~torch_geometric.data.Data` or :class:`~torch_geometric.data.HeteroData`
            with ``edge_index`` or ``adj_t``, or a pair of a feature and a graph store.
        weight_attr: Name of edge weights.
        time_attr: Name of the times of nodes or of edges.

    Raises:
        TypeError: If ``data`` is something else, or an attribute of it has the wrong type.
        ValueError: If an attribute does not exist, or its shape or values do not fit.
    """
    if isinstance(data, Data):
        graph = Graph(False, {NODE: int(data.num_nodes or 0)})
        stores: dict[EdgeType, BaseStorage] = {EDGE: data._store}
        names = {"weight": weight_attr, "time": time_attr}
        if time_attr is not None and time_attr in data and data.is_node_attr(time_attr):
            graph.node_time[NODE], names["time"] = _times(data[time_attr], time_attr), None
    elif isinstance(data, HeteroData):
        graph = Graph(True, {name: int(data[name].num_nodes or 0) for name in data.node_types})
        stores = dict(data.edge_items())
        names = {"weight": weight_attr, "time": time_attr}
        if time_attr is not None and any(time_attr in store for store in data.node_stores):
            _one_kind_of_time(data, time_attr)
            names["time"] = None
            for name, store in data.node_items():
                if time_attr in store:
                    graph.node_time[name] = _times(store[time_attr], time_attr)
    else:
        return _remote(data, weight_attr, time_attr)
    for attr, name in names.items():
        if name is not None and not any(name in store for store in stores.values()):
            raise ValueError(f"'{attr}_attr' must name an attribute of 'data', got {name!r}")
    for key, store in stores.items():
        sizes = graph.num_nodes[key[0]], graph.num_nodes[key[2]]
        edges = _sorted(store, "data" if key == EDGE else f"data[{key}]", *sizes)
        given = {attr: store[name] for attr, name in names.items() if name and name in store}
        graph.add(key, edges, given)
    return graph


def _one_kind_of_time(data: HeteroData, time_attr: str) -> None:
    if any(time_attr in store for store in data.edge_stores):
        raise ValueError(
            f"'time_attr' must name times of nodes or of edges, got {time_attr!r}, which both have"
        )


def _remote(data: Any, weight_attr: str | None, time_attr: str | None) -> Graph:
    """A graph whose features and edges are in stores of their own."""
    if not (
        isinstance(data, (tuple, list))
        and len(data) == 2
        and isinstance(data[0], FeatureStore)
        and isinstance(data[1], GraphStore)
    ):
        raise TypeError(
            "'data' must be a torch_geometric.data.Data or HeteroData, or a pair of a "
            f"FeatureStore and a GraphStore, got {type(data).__name__}"
        )
    for name, given in (("weight_attr", weight_attr), ("time_attr", time_attr)):
        if given is not None:
            raise ValueError(
                f"'{name}' must be None for a pair of stores, which is sampled without, "
                f"got {given!r}"
            )
    features, edges = data
    attrs = edges.get_all_edge_attrs()
    rows, colptrs, perms = edges.csc()
    if not isinstance(rows, dict):
        sizes = [count for attr in attrs for count in attr.size or ()]
        tensors = features.get_all_tensor_attrs()
        sizes += [(features.get_tensor_size(attr) or (0,))[0] for attr in tensors]
        graph = Graph(False, {NODE: max(sizes, default=colptrs.numel() - 1)})
        rows, colptrs, perms = {EDGE: rows}, {EDGE: colptrs}, {EDGE: perms}
    else:
        types = {attr.edge_type[end] for attr in attrs for end in (0, 2)}
        types |= {attr.group_name for attr in features.get_all_tensor_attrs()}
        graph = Graph(True, {name: count_nodes(features, edges, name) for name in sorted(types)})
    for key, row in rows.items():
        # Stores that know no sizes end with the last node that has edges.
        missing = graph.num_nodes[key[2]] + 1 - colptrs[key].numel()
        rowptr = torch.cat([colptrs[key], colptrs[key][-1:].expand(missing)])
        perm = perms[key]
        graph.add(key, _Edges(rowptr.cpu(), row.cpu(), None if perm is None else perm.cpu()), {})
    return graph


def _sorted(store: BaseStorage, name: str, num_src: int, num_dst: int) -> _Edges:
    """Edges of a store by destination, on the CPU."""
    edge_index, adj_t = store.get("edge_index"), store.get("adj_t")
    if edge_index is None and adj_t is not None:
        return _of_matrix(adj_t, name, num_src, num_dst)
    if adj_t is not None:
        raise ValueError(f"'{name}' must have 'edge_index' or 'adj_t', got both")
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        raise TypeError(
            f"'{name}.edge_index' must be a [2, E] tensor or an EdgeIndex, "
            f"got {type(edge_index).__name__}"
        )
    edge_index = edge_index.cpu()
    # Half the memory, so that more of the graph stays in the processor's cache.
    if max(num_src, num_dst, edge_index.size(-1)) <= _INT32_MAX:
        edge_index = edge_index.int()
    csr = build_csr(edge_index, num_src=num_src, num_dst=num_dst)
    return _Edges(csr.rowptr, csr.col, csr.edge)


def _of_matrix(adj_t: Any, name: str, num_src: int, num_dst: int) -> _Edges:
    """Edges of a transposed adjacency matrix, of torch or of torch-sparse."""
    if isinstance(adj_t, Tensor):
        if adj_t.layout == torch.strided:
            raise TypeError(f"'{name}.adj_t' must be a sparse matrix, got a dense tensor")
        size, matrix = tuple(adj_t.shape), adj_t.to_sparse_csr()
        rowptr, col = matrix.crow_indices(), matrix.col_indices()
    elif hasattr(adj_t, "csr"):
        size, (rowptr, col, _) = tuple(adj_t.sizes()), adj_t.csr()
    else:
        raise TypeError(f"'{name}.adj_t' must be a sparse matrix, got {type(adj_t).__name__}")
    if size != (num_dst, num_src):
        raise ValueError(f"'{name}.adj_t' must have shape [{num_dst}, {num_src}], got {list(size)}")
    return _Edges(rowptr.cpu(), col.cpu(), None)


def _at(given: Any, name: str, edges: _Edges) -> Tensor | None:
    """Values of edges by position."""
    if given is None:
        return None
    values: Tensor = torch.as_tensor(given).detach().cpu()
    if values.numel() != edges.col.numel():
        raise ValueError(
            f"'{name}_attr' must name one number for each of {edges.col.numel()} edges, "
            f"got shape {list(values.shape)}"
        )
    values = values.reshape(-1)
    return values if edges.edge is None else values.index_select(0, edges.edge)


def _checked_weights(weights: Tensor) -> Tensor:
    weights = weights.double()
    bad = ~(weights >= 0) | weights.isinf()
    if bad.any():
        raise ValueError(
            f"'weight_attr' must name finite weights from 0, got {float(weights[bad][0])}"
        )
    return weights


def _times(given: Any, name: str) -> Tensor:
    values: Tensor = torch.as_tensor(given).detach().cpu()
    if values.dim() != 1:
        raise ValueError(
            f"'time_attr' must name one time for each node, got {name!r} of shape "
            f"{list(values.shape)}"
        )
    return values
