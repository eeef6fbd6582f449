"""Graph attention layer of Velickovic et al."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import dropout
from torch_geometric.nn.inits import glorot
from torch_geometric.typing import OptPairTensor, OptTensor

from graphattn.nn.conv.attention_conv import AttentionConv, MapByHead, Operands
from graphattn.nn.linear import apply_map
from graphattn.ops import GATScore, Score, edge_softmax

__all__ = ["GATConv"]


class GATConv(AttentionConv):
    r"""The layer of `"Graph Attention Networks" <https://arxiv.org/abs/1710.10903>`_.

    .. math::
        \mathbf{x}^{\prime}_i = \sum_{j \in \mathcal{N}(i) \cup \{i\}} \alpha_{ij}
        \mathbf{W} \mathbf{x}_j, \qquad
        \alpha_{ij} = \mathrm{softmax}_j \bigl(\mathrm{LeakyReLU}(
        \mathbf{a}_{\mathrm{src}}^{\top} \mathbf{W} \mathbf{x}_j +
        \mathbf{a}_{\mathrm{dst}}^{\top} \mathbf{W} \mathbf{x}_i +
        \mathbf{a}_{\mathrm{edge}}^{\top} \mathbf{W}_{\mathrm{edge}} \mathbf{e}_{ij})\bigr)

    per head (equations 1 to 6), the last term only with edge features. Names, shapes and initial
    distribution of the parameters are those of :class:`torch_geometric.nn.GATConv`, so state dicts
    load both ways. :class:`~graphattn.nn.AttentionConv` lists where results differ from PyG's.

    Note:
        As PyG and unlike the authors' TensorFlow code, the two score halves have no bias, all heads
        share one dropped input, and each of several parallel edges is an entry of the softmax. The
        authors' code also drops the transformed features, which the paper does not mention and
        PyG's layer does not do; ``value_dropout`` does it here.

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
        bias: Add a learned bias.
        residual: Add a linear map of the destination's input.
        value_dropout: Probability of dropping a transformed feature from the sum in training, in
            ``[0, 1]``; the scores see all of them.
        **kwargs: Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> conv = GATConv(16, 8, heads=2)
        >>> conv
        GATConv(16, 8, heads=2)
        >>> edge_index = torch.tensor([[0, 1], [1, 2]])
        >>> out, (edge_index, alpha) = conv(
        ...     torch.randn(3, 16), edge_index, return_attention_weights=True
        ... )
        >>> out.shape, edge_index.tolist(), alpha.shape
        (torch.Size([3, 16]), [[0, 1, 0, 1, 2], [1, 2, 0, 1, 2]], torch.Size([5, 2]))
    """

    edge_updater_type: ClassVar = {"alpha": OptPairTensor, "edge_attr": OptTensor}
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
        residual: bool = False,
        value_dropout: float = 0.0,
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
        if not 0.0 <= value_dropout <= 1.0:
            raise ValueError(f"'value_dropout' must lie in [0, 1], got {value_dropout}")
        self.negative_slope = negative_slope
        self.value_dropout = value_dropout
        in_channels, heads, out_channels = self.in_channels, self.heads, self.out_channels
        width = heads * out_channels
        if isinstance(in_channels, int):
            self.lin = self._linear(in_channels, width)
        else:
            self.lin_src = self._linear(in_channels[0], width)
            self.lin_dst = self._linear(in_channels[1], width)
        self.att_src = Parameter(torch.empty(1, heads, out_channels))
        self.att_dst = Parameter(torch.empty(1, heads, out_channels))
        if edge_dim is not None:
            self.lin_edge = self._linear(edge_dim, width)
            self.att_edge = Parameter(torch.empty(1, heads, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from the distributions of PyG's layer."""
        super().reset_parameters()
        glorot(self.att_src)
        glorot(self.att_dst)
        if self.edge_dim is not None:
            glorot(self.att_edge)

    def operands(
        self,
        x_src: Tensor,
        x_dst: Tensor | None,
        edge_attr: Tensor | None,
        num_dst: int,
        project: MapByHead = apply_map,
    ) -> Operands:
        """See :meth:`AttentionConv.operands`."""
        drops = self.training and self.value_dropout > 0.0
        project = apply_map if drops else project
        shared = isinstance(self.in_channels, int)
        lin_src = self.lin if shared else self.lin_src
        if shared and x_dst is x_src:
            values, src, dst = project(lin_src, x_src, self.heads, self.att_src, self.att_dst)
        else:
            values, src = project(lin_src, x_src, self.heads, self.att_src)
            if x_dst is None:
                dst = x_src.new_zeros(num_dst, self.heads)
            else:
                lin_dst = self.lin if shared else self.lin_dst
                _, dst = project(lin_dst, x_dst, self.heads, self.att_dst)
        edge = None
        if edge_attr is not None:
            _, edge = project(self.lin_edge, edge_attr, self.heads, self.att_edge)
        if drops:
            values = dropout(values, self.value_dropout)
        return Operands(values, GATScore(src, dst, edge, self.negative_slope))

    def edge_operands(self, score: Score) -> dict[str, Any]:
        """See :meth:`AttentionConv.edge_operands`."""
        operands = score.operands()
        return {"alpha": (operands["src"], operands["dst"])}

    def edge_update(
        self,
        alpha_j: Tensor,
        alpha_i: Tensor | None,
        edge_attr: Tensor | None,
        index: Tensor,
        ptr: Tensor | None,
        dim_size: int,
    ) -> Tensor:
        """Coefficients of edges, dropped in training; called where somebody looks at them.

        Args:
            alpha_j: Parts of the sources in the scores. Shape ``[E, H]``.
            alpha_i: Parts of the destinations. Shape ``[E, H]``.
            edge_attr: Features of the edges. Shape ``[E, edge_dim]``.
            index: Destinations. Shape ``[E]``.
            ptr: Not used.
            dim_size: Number of destinations.
        """
        edge = None
        if edge_attr is not None:
            _, edge = apply_map(self.lin_edge, edge_attr, self.heads, self.att_edge)
        alpha_i = torch.zeros_like(alpha_j) if alpha_i is None else alpha_i
        score = GATScore(alpha_j, alpha_i, edge, self.negative_slope)
        alpha = edge_softmax(score.of_edges(**score.operands()), index, num_nodes=dim_size)
        return dropout(alpha, self.dropout, self.training)
