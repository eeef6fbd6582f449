"""Graph convolutions of calibrators: a small network on a graph that is normalised once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.inits import glorot

from graphattn.ops import spmm

__all__ = ["GCN", "NormalizedGraph"]


class NormalizedGraph(NamedTuple):
    r"""Edges with a self-loop for each node, weighted by :math:`1 / \sqrt{d_j d_i}`."""

    edge_index: Tensor
    """Sources and destinations. Shape ``[2, E]``."""
    weight: Tensor
    """Shape ``[E, 1]``."""

    @staticmethod
    def of(edge_index: Tensor, num_nodes: int, dtype: torch.dtype) -> NormalizedGraph:
        """Normalise as :class:`~torch_geometric.nn.GCNConv` does.

        Args:
            edge_index: Sources and destinations, checked. Shape ``[2, E]``.
            num_nodes: Number of nodes.
            dtype: Type of the weights.
        """
        edges, weight = gcn_norm(edge_index.long(), None, num_nodes, dtype=dtype)
        return NormalizedGraph(edges, weight.unsqueeze(1))

    def sum(self, x: Tensor) -> Tensor:
        """Weighted sum over the edges that enter a node, of ``[N, F]``. Shape ``[N, F]``."""
        weight = self.weight.to(x.dtype)
        return spmm(x.unsqueeze(1), weight, self.edge_index, num_dst=x.size(0)).squeeze(1)


class GCN(nn.Module):
    """Two graph convolutions with ReLU and dropout in between.

    Args:
        in_channels: Number of input features.
        hidden_channels: Number of features in between.
        out_channels: Number of outputs.
        dropout: Probability of dropout.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, *, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin1 = nn.Linear(in_channels, hidden_channels)
        self.lin2 = nn.Linear(hidden_channels, out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as those of a :class:`~torch_geometric.nn.GCNConv`."""
        for lin in (self.lin1, self.lin2):
            glorot(lin.weight)
            nn.init.zeros_(lin.bias)

    def forward(self, x: Tensor, graph: NormalizedGraph) -> Tensor:
        """Features ``[N, F]`` to outputs ``[N, C]``."""
        x = dropout(_convolve(self.lin1, x, graph).relu(), self.dropout, self.training)
        return _convolve(self.lin2, x, graph)


def _convolve(lin: nn.Linear, x: Tensor, graph: NormalizedGraph) -> Tensor:
    # The map comes first and the offset last, so that edges carry few numbers.
    return graph.sum(linear(x, lin.weight.to(x.dtype))) + lin.bias
