"""The network of the AERO-GNN paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, elu
from torch_geometric.typing import Adj

from graphattn.nn import AEROConv, Linear
from graphattn.ops import sparse_dropout

__all__ = ["AEROGNN"]


class AEROGNN(nn.Module):
    r"""A perceptron, many steps of edge and hop attention, and a linear read-out.

    The network of `"Towards Deep Attention in Graph Neural Networks"
    <https://arxiv.org/abs/2306.02376>`_: the perceptron maps features to states,
    :class:`graphattn.nn.AEROConv` sums them over ``num_steps`` hops, and classes are read off the
    ELU of the sum. Features given as a ``torch.sparse_csr`` matrix stay sparse: only their
    non-zeros are dropped, and the first projection multiplies a sparse matrix.

    Args:
        in_channels: Width of the node features, or ``-1`` to take it from the first input.
        hidden_channels: Width of the states, all heads together.
        num_layers: Number of layers of the perceptron, at least 1.
        out_channels: Width of the output.
        num_steps: Number of propagation steps; 0 leaves a perceptron.
        heads: Number of heads; divides ``hidden_channels``.
        lambd: Decay of what the attention sees; see :class:`graphattn.nn.AEROConv`.
        dropout: Probability of dropping an input of a layer of the perceptron, in ``[0, 1]``.
        out_dropout: Probability of dropping an input of the read-out; ``dropout`` if ``None``.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> model = AEROGNN(1433, 64, num_layers=1, out_channels=7, num_steps=32)
        >>> model
        AEROGNN(1433, 7, num_steps=32)
        >>> x, edge_index = torch.randn(3, 1433), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> model(x, edge_index).shape
        torch.Size([3, 7])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        *,
        num_steps: int,
        heads: int = 1,
        lambd: float = 1.0,
        dropout: float = 0.0,
        out_dropout: float | None = None,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1, got {num_layers}")
        self.dropout = dropout
        self.out_dropout = dropout if out_dropout is None else out_dropout
        for name in ("dropout", "out_dropout"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"'{name}' must lie in [0, 1], got {getattr(self, name)}")
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.out_channels = out_channels
        widths = [in_channels] + [hidden_channels] * (num_layers - 1)
        self.lins = nn.ModuleList(
            Linear(width, hidden_channels, weight_initializer="glorot") for width in widths
        )
        self.conv = AEROConv(hidden_channels, num_steps, heads=heads, lambd=lambd)
        self.lin_out = Linear(hidden_channels, out_channels, weight_initializer="glorot")

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in (*self.lins, self.conv, self.lin_out):
            module.reset_parameters()

    def forward(self, x: Tensor, edge_index: Adj) -> Tensor:
        """Compute node outputs.

        Args:
            x: Node features, dense or ``torch.sparse_csr``. Shape ``[N, in_channels]``.
            edge_index: Edges in any form that the layer takes; with one self-loop per node, as in
                the paper.

        Returns:
            Outputs. Shape ``[N, out_channels]``.

        Raises:
            ValueError: If the width of ``x`` is not ``in_channels``; see also the layer.
        """
        return self._read_out(self.conv(self._states(x), edge_index))

    def hop_attention(self, x: Tensor, edge_index: Adj) -> Tensor:
        """Weights of every node's states in its sum; see :meth:`AEROConv.hop_attention`.

        Args:
            x: Node features, as in :meth:`forward`.
            edge_index: As in :meth:`forward`.

        Returns:
            Shape ``[N, num_steps + 1, heads]``.
        """
        return self.conv.hop_attention(self._states(x), edge_index)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"num_steps={self.conv.num_steps})"
        )

    def _states(self, x: Tensor) -> Tensor:
        """The perceptron, which ends without an activation. ``[N, hidden_channels]``."""
        if x.layout == torch.sparse_csr:
            x = sparse_dropout(x, self.dropout, training=self.training)
        else:
            x = dropout(x, self.dropout, self.training)
        h: Tensor = self.lins[0](x)
        for lin in self.lins[1:]:
            h = lin(dropout(elu(h), self.dropout, self.training))
        return h

    def _read_out(self, z: Tensor) -> Tensor:
        out: Tensor = self.lin_out(dropout(elu(z), self.out_dropout, self.training))
        return out
