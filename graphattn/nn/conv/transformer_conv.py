"""Transformer layer on graphs, of Shi et al."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphattn.nn.conv.attention_conv import AttentionConv, MapByHead, Operands
from graphattn.nn.linear import Linear, apply_map
from graphattn.ops import DotScore

__all__ = ["TransformerConv"]


class TransformerConv(AttentionConv):
    r"""The layer of `"Masked Label Prediction" <https://arxiv.org/abs/2009.03509>`_ (UniMP).

    .. math::
        \mathbf{x}^{\prime}_i = \mathbf{W}_{\mathrm{skip}} \mathbf{x}_i +
        \sum_{j \in \mathcal{N}(i)} \alpha_{ij}
        (\mathbf{W}_{\mathrm{value}} \mathbf{x}_j + \mathbf{W}_{\mathrm{edge}} \mathbf{e}_{ij}),
        \qquad
        \alpha_{ij} = \mathrm{softmax}_j \Bigl(\tfrac{1}{\sqrt{C}}
        (\mathbf{W}_{\mathrm{query}} \mathbf{x}_i)^{\top}
        (\mathbf{W}_{\mathrm{key}} \mathbf{x}_j + \mathbf{W}_{\mathrm{edge}} \mathbf{e}_{ij})
        \Bigr)

    per head (equations 3 to 5), the edge terms only with edge features. Names, shapes and initial
    distribution of the parameters are those of :class:`torch_geometric.nn.TransformerConv`, so
    state dicts load both ways. :class:`~graphattn.nn.AttentionConv` lists where results differ from
    PyG's; self-loops are not added.

    Args:
        in_channels: Width of the node features, or a pair for sources and destinations; ``-1``
            takes it from the first input.
        out_channels: Width of each head.
        heads: Number of heads.
        concat: Concatenate the heads; False averages them.
        beta: Let each node weigh its own part against that of its neighbours: the gated residual
            connection of equation 6.
        dropout: Probability of dropping an attention coefficient in training, in ``[0, 1]``.
        edge_dim: Width of ``edge_attr``, if there is one.
        bias: Give the linear maps of nodes a bias.
        root_weight: Add a linear map of the destination's input; without it ``beta`` has no effect.
        **kwargs: Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> conv = TransformerConv(16, 8, heads=2, beta=True)
        >>> conv
        TransformerConv(16, 8, heads=2, beta=True)
        >>> conv(torch.randn(3, 16), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        beta: bool = False,
        dropout: float = 0.0,
        edge_dim: int | None = None,
        bias: bool = True,
        root_weight: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            heads=heads,
            concat=concat,
            dropout=dropout,
            add_self_loops=False,
            edge_dim=edge_dim,
            bias=False,
            **kwargs,
        )
        self.has_bias = bias
        self.beta = beta and root_weight
        self.root_weight = root_weight
        in_channels, heads, out_channels = self.in_channels, self.heads, self.out_channels
        width = heads * out_channels
        own = width if concat else out_channels
        in_src, in_dst = (in_channels,) * 2 if isinstance(in_channels, int) else in_channels
        self.lin_key = Linear(in_src, width, bias=bias)
        self.lin_query = Linear(in_dst, width, bias=bias)
        self.lin_value = Linear(in_src, width, bias=bias)
        if edge_dim is not None:
            self.lin_edge = Linear(edge_dim, width, bias=False)
        # PyG has this map without `root_weight`, too, where it is of no use.
        self.lin_skip = Linear(in_dst, own, bias=bias)
        if self.beta:
            self.lin_beta = Linear(3 * own, 1, bias=False)
        self.reset_parameters()

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
            raise ValueError("'x' is (x_src, None), but queries need features 'x_dst'")
        (value,) = project(self.lin_value, x_src, self.heads)
        (key,) = project(self.lin_key, x_src, self.heads)
        (query,) = project(self.lin_query, x_dst, self.heads)
        edge_x = root = None
        if edge_attr is not None:
            (edge_x,) = apply_map(self.lin_edge, edge_attr, self.heads)
        if self._adds_root:
            (root,) = project(self.lin_skip, x_dst, self.heads)
        return Operands(value, DotScore(query, key, edge_x), root)

    @property
    def _adds_root(self) -> bool:
        """Whether a node's own part is added to the sum of every head."""
        return self.root_weight and self.concat and not self.beta

    def combine(self, out: Tensor, x_dst: Tensor | None) -> Tensor:
        """See :meth:`AttentionConv.combine`."""
        if not self.root_weight or self._adds_root:
            return out
        own: Tensor = self.lin_skip(x_dst)
        if not self.beta:
            return out + own
        beta = self.lin_beta(torch.cat([out, own, out - own], dim=-1)).sigmoid()
        mixed: Tensor = beta * own + (1 - beta) * out
        return mixed
