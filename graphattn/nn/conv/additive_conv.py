"""Attention layer with additive scores and no map of its own for what it sums."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphattn._core.checks import as_count
from graphattn.nn.conv.attention_conv import AttentionConv, Operands
from graphattn.nn.linear import Linear
from graphattn.ops import GATScore

__all__ = ["AdditiveConv"]


class AdditiveConv(AttentionConv):
    r"""Sum features as they are, with scores that each see a node's whole features.

    .. math::
        \mathbf{x}^{\prime (h)}_i = \sum_{j \in \mathcal{N}(i)} \alpha^{(h)}_{ij}
        \mathbf{x}^{(h)}_j, \qquad
        \alpha^{(h)}_{ij} = \mathrm{softmax}_j \bigl(\mathrm{LeakyReLU}(
        \mathbf{a}_h^{\top} \mathbf{x}_j + b_h + \mathbf{c}_h^{\top} \mathbf{x}_i)\bigr),

    where head :math:`h` sums the :math:`h`-th part of the channels. The attention of GAT and
    GAT-sep in `"A critical look at the evaluation of GNNs under heterophily"
    <https://arxiv.org/abs/2302.11640>`_; :class:`graphattn.models.AttentionBlock` puts the maps
    around it. A node without an edge gets zeros.

    Note:
        The authors' code gives channel ``c`` to head ``c % heads``, this layer to head
        ``c // (channels // heads)``: the same function with the channels in another order.

    Args:
        channels: Width of the node features, in and out.
        heads: Number of heads; divides ``channels``.
        negative_slope: Slope of the LeakyReLU below zero.
        dropout: Probability of dropping an attention coefficient in training, in ``[0, 1]``.
        add_self_loops: Let each node attend to itself.
        **kwargs: Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> conv = AdditiveConv(16, heads=2)
        >>> conv
        AdditiveConv(16, heads=2)
        >>> conv(torch.randn(3, 16), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = False,
        **kwargs: Any,
    ) -> None:
        channels, heads = as_count("channels", channels), as_count("heads", heads)
        if channels % heads != 0:
            raise ValueError(f"'heads' ({heads}) must divide 'channels' ({channels})")
        super().__init__(
            channels,
            channels // heads,
            heads=heads,
            dropout=dropout,
            add_self_loops=add_self_loops,
            bias=False,
            **kwargs,
        )
        self.negative_slope = negative_slope
        self.lin_src = Linear(channels, heads)
        self.lin_dst = Linear(channels, heads, bias=False)
        self.reset_parameters()

    def operands(
        self,
        x_src: Tensor,
        x_dst: Tensor | None,
        edge_attr: Tensor | None,
        num_dst: int,
        *_: Any,
    ) -> Operands:
        """See :meth:`AttentionConv.operands`."""
        src = self.lin_src(x_src)
        dst = src.new_zeros(num_dst, self.heads) if x_dst is None else self.lin_dst(x_dst)
        dense = x_src if x_src.layout == torch.strided else x_src.to_dense()
        values = dense.view(x_src.size(0), self.heads, self.out_channels)
        wide = torch.promote_types(src.dtype, torch.float32)
        return Operands(values, GATScore(src.to(wide), dst.to(wide), None, self.negative_slope))

    def __repr__(self) -> str:
        heads = "" if self.heads == 1 else f", heads={self.heads}"
        return f"{type(self).__name__}({self.in_channels}{heads})"
