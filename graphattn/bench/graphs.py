"""Graphs of the benchmark, declared by family and size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphattn.data import csbm

__all__ = ["CORA_SIZED", "LARGE", "TWELVE_MILLION", "Graph", "with_self_loops"]


@dataclass(frozen=True)
class Graph:
    """An undirected graph whose degrees follow a power law, without self-loops or duplicates."""

    num_nodes: int
    """Number of nodes."""
    num_edges: int
    """Number of directed edges."""

    def scaled(self, share: float) -> Graph:
        """A smaller graph of the same average degree.

        Args:
            share: Share of the nodes and edges, above 0; at least 256 nodes stay.

        Raises:
            ValueError: If ``share`` is not above 0.
        """
        if not share > 0:
            raise ValueError(f"'scale' must be above 0, got {share}")
        nodes = max(round(self.num_nodes * share), min(self.num_nodes, 256))
        return Graph(nodes, round(self.num_edges / self.num_nodes * nodes))

    def edge_index(self) -> Tensor:
        """The edges, always the same ones, sorted by destination. ``[2, E]``."""
        data = csbm(
            self.num_nodes,
            average_degree=self.num_edges / self.num_nodes,
            degree_law="power",
            exponent=2.2,
            num_features=1,
        )
        return _sorted_by_destination(data.edge_index)

    def __str__(self) -> str:
        return f"power-law graph, {self.num_nodes:,} nodes, {self.num_edges:,} edges"


LARGE = Graph(169_343, 2_360_000)
"""As many nodes and edges as ogbn-arxiv made undirected, about."""
CORA_SIZED = Graph(2_708, 10_556)
"""As many nodes and edges as Cora."""
TWELVE_MILLION = Graph(500_000, 12_000_000)
"""A graph on which layers that store messages run out of memory."""


def with_self_loops(edge_index: Tensor, num_nodes: int) -> Tensor:
    """One self-loop per node, for a graph without; sorted by destination. ``[2, E + N]``.

    Args:
        edge_index: Edges. Shape ``[2, E]``.
        num_nodes: Number of nodes :math:`N`.
    """
    loops = torch.arange(num_nodes).expand(2, -1)
    return _sorted_by_destination(torch.cat([edge_index, loops], dim=1))


def _sorted_by_destination(edge_index: Tensor) -> Tensor:
    return edge_index[:, torch.argsort(edge_index[1], stable=True)].contiguous()
