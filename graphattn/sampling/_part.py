"""Attributes of a graph for some of its nodes and edges."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader.utils import index_select

__all__ = ["part_of"]


def part_of(data: Data, nodes: Tensor, edges: Tensor, edge_index: Tensor) -> Data:
    """Keep of all attributes of a graph what belongs to some of its nodes and edges.

    Args:
        data: The graph; it stays as it is.
        nodes: Its nodes that are kept. Shape ``[N_s]``.
        edges: Columns of its ``edge_index`` that are kept. Shape ``[E_s]``.
        edge_index: The edges of the part. Shape ``[2, E_s]``.

    Returns:
        The part, each attribute on the device where it was. Attributes of neither nodes nor edges
        are shared with ``data``.
    """
    part = copy(data)
    for key, value in data.to_dict().items():
        if key == "num_nodes":
            part.num_nodes = nodes.numel()
        elif key == "edge_index":
            part.edge_index = edge_index.to(value.device)
        elif data.is_node_attr(key):
            part[key] = _select(value, nodes, data.__cat_dim__(key, value))
        elif data.is_edge_attr(key):
            part[key] = _select(value, edges, data.__cat_dim__(key, value))
    return part


def _select(value: Any, index: Tensor, dim: int) -> Any:
    """Entries of an attribute: of a tensor of any layout, an array or a list."""
    if isinstance(value, (list, tuple)):
        return [value[i] for i in index.tolist()]
    if isinstance(value, Tensor):
        index = index.to(value.device)
        if value.layout == torch.sparse_csr:
            return _sparse_rows(value, index)
    return index_select(value, index, dim=dim)


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
