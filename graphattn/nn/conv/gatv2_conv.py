"""Graph attention layer of Brody, Alon and Yahav."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import dropout
from torch_geometric.nn.inits import glorot
from torch_geometric.typing import OptTensor, PairTensor

from graphattn.nn.conv.attention_conv import AttentionConv, MapByHead, Operands
from graphattn.nn.linear import apply_map
from graphattn.ops import GATv2Score, Score, edge_softmax

__all__ = ["GATv2Conv"]


class GATv2Conv(AttentionConv):
    r"""The layer of `GATv2 <https://arxiv.org/abs/2105.14491>`_, with dynamic attention.

    .. math::
        \mathbf{x}^{\prime}_i = \sum_{j \in \mathcal{N}(i) \cup \{i\}} \alpha_{ij}
        \mathbf{W}_l \mathbf{x}_j, \qquad
        \alpha_{ij} = \mathrm{softmax}_j \bigl(\mathbf{a}^{\top} \mathrm{LeakyReLU}(
        \mathbf{W}_l \mathbf{x}_j + \mathbf{W}_r \mathbf{x}_i +
        \mathbf{W}_{\mathrm{edge}} \mathbf{e}_{ij})\bigr)

    per head (equation 7), the last term only with edge features. The scorer comes after the
    non-linearity, so which neighbour ranks first can depend on the node that asks. Names, shapes
    and initial distribution of the parameters are those of
    :class:`torch_geometric.nn.GATv2Conv`, so state dicts load both ways.
    :class:`~graphattn.nn.AttentionConv` lists where results differ from PyG's.

    Note:
        As in PyG, sources and destinations have their own transforms unless ``share_weights`` is
        set, both with a bias; the paper compares with GAT at shared weights.

    Args:
        in_channels: Width of the node features, or a pair for sources and destinations; ``-1``
            takes it from the first input.
        out_channels: Width of each head.
        heads: Number of heads.
        concat: Concatenate the heads; False averages them.
        negative_slope: Slope of the LeakyReLU below zero.
        dropout: Probability of dropping an attention coefficient in training, in ``[0, 1]``.
        add_self_loops: Let each node attend to itself; in a bipartite graph the first
            ``min(N_src, N_dst)`` nodes.
        edge_dim: Width of ``edge_attr``, if there is one.
        fill_value: Edge features of added self-loops: a number, a tensor of shape ``[edge_dim]``,
            or how to reduce those of the incoming edges (``"mean"``, ``"add"``, ``"min"``,
            ``"max"``, ``"mul"``).
        bias: Add learned biases.
        share_weights: Transform destinations with the weights of the sources.
        residual: Add a linear map of the destination's input.
        **kwargs: Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> conv = GATv2Conv((16, 4), 8, heads=2, concat=False)
        >>> conv
        GATv2Conv((16, 4), 8, heads=2, concat=False)
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> conv((torch.randn(2, 16), torch.randn(5, 4)), edge_index).shape
        torch.Size([5, 8])
    """

    edge_updater_type: ClassVar = {"x": PairTensor, "edge_attr": OptTensor}
    """What :meth:`edge_update` is made from, as PyG's template wants to know."""

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: float | Tensor | str = "mean",
        bias: bool = True,
        share_weights: bool = False,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            heads=heads,
            concat=concat,
            dropout=dropout,
            add_self_loops=add_self_loops,
            edge_dim=edge_dim,
            fill_value=fill_value,
            bias=bias,
            residual=residual,
            **kwargs,
        )
        self.negative_slope = negative_slope
        self.share_weights = share_weights
        in_channels, heads, out_channels = self.in_channels, self.heads, self.out_channels
        width = heads * out_channels
        in_src, in_dst = (in_channels,) * 2 if isinstance(in_channels, int) else in_channels
        if share_weights and in_src != in_dst:
            raise ValueError(f"'share_weights' needs equal 'in_channels', got {in_channels}")
        self.lin_l = self._linear(in_src, width, bias=bias)
        self.lin_r = self.lin_l if share_weights else self._linear(in_dst, width, bias=bias)
        self.att = Parameter(torch.empty(1, heads, out_channels))
        if edge_dim is not None:
            self.lin_edge = self._linear(edge_dim, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from the distributions of PyG's layer."""
        super().reset_parameters()
        glorot(self.att)

    def operands(
        self,
        x_src: Tensor,
        x_dst: Tensor | None,
        edge_attr: Tensor | None,
        num_dst: int,
        project: MapByHead = apply_map,
    ) -> Operands:
        """See :meth:`AttentionConv.operands`."""
        if x_dst is None:
            raise ValueError("'x' is (x_src, None), but GATv2 scores need features 'x_dst'")
        (src,) = project(self.lin_l, x_src, self.heads)
        dst = src
        if not (self.share_weights and x_dst is x_src):
            (dst,) = project(self.lin_r, x_dst, self.heads)
        edge_x = None
        if edge_attr is not None:
            (edge_x,) = apply_map(self.lin_edge, edge_attr, self.heads)
        att = self.att.squeeze(0)
        return Operands(src, GATv2Score(src, dst, att, edge_x, self.negative_slope))

    def edge_operands(self, score: Score) -> dict[str, Any]:
        """See :meth:`AttentionConv.edge_operands`."""
        operands = score.operands()
        return {"x": (operands["src"], operands["dst"])}

    def edge_update(
        self,
        x_j: Tensor,
        x_i: Tensor,
        edge_attr: Tensor | None,
        index: Tensor,
        ptr: Tensor | None,
        dim_size: int,
    ) -> Tensor:
        """Coefficients of edges, dropped in training; called where somebody looks at them.

        Args:
            x_j: Transformed features of the sources. Shape ``[E, H, C]``.
            x_i: Those of the destinations. Shape ``[E, H, C]``.
            edge_attr: Features of the edges. Shape ``[E, edge_dim]``.
            index: Destinations. Shape ``[E]``.
            ptr: Not used.
            dim_size: Number of destinations.
        """
        edge_x = None
        if edge_attr is not None:
            (edge_x,) = apply_map(self.lin_edge, edge_attr, self.heads)
        score = GATv2Score(x_j, x_i, self.att.squeeze(0), edge_x, self.negative_slope)
        alpha = edge_softmax(score.of_edges(**score.operands()), index, num_nodes=dim_size)
        return dropout(alpha, self.dropout, self.training)
