"""Graph attention layer of Velickovic et al."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import dropout
from torch_geometric.nn.inits import glorot

from graphattn.nn.conv.attention_conv import AttentionConv
from graphattn.nn.linear import Linear, is_plain
from graphattn.ops import gat_attend, gat_attention

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
        self, x_src: Tensor, x_dst: Tensor | None, edge_attr: Tensor | None, num_dst: int
    ) -> tuple[Tensor, dict[str, Any]]:
        """See :meth:`AttentionConv.operands`."""
        shared = isinstance(self.in_channels, int)
        lin_src = self.lin if shared else self.lin_src
        lin_dst = self.lin if shared else self.lin_dst
        # Asked before the maps run: those of lazy layers lose a hook by that.
        donate = _is_folded(lin_src) and _is_folded(lin_dst)
        score_dst = edge_score = None
        if shared and x_dst is x_src:
            values, score_src, score_dst = self._project(lin_src, x_src, self.att_src, self.att_dst)
        else:
            values, score_src = self._project(lin_src, x_src, self.att_src)
            if x_dst is not None:
                (score_dst,) = self._project(lin_dst, x_dst, self.att_dst, features=False)
        if score_dst is None:
            score_dst = score_src.new_zeros(num_dst, self.heads)
        if edge_attr is not None:
            (edge_score,) = self._project(self.lin_edge, edge_attr, self.att_edge, features=False)
        values = dropout(values, self.value_dropout, self.training)
        return values, {
            "score_src": score_src,
            "score_dst": score_dst,
            "edge_score": edge_score,
            "negative_slope": self.negative_slope,
            "donate": donate,
        }

    def attention(self, values: Tensor, edge_index: Tensor, **operands: Any) -> Tensor:
        """See :meth:`AttentionConv.attention`."""
        return gat_attention(edge_index=edge_index, **operands)

    def attend(self, values: Tensor, edge_index: Tensor, **operands: Any) -> Tensor:
        """See :meth:`AttentionConv.attend`."""
        return gat_attend(values, edge_index=edge_index, **operands)

    def _project(
        self, linear: Module, x: Tensor, *scorers: Tensor, features: bool = True
    ) -> tuple[Tensor, ...]:
        """Transformed features by head, unless they are not asked for, and their scores.

        A score is one more column of the same product, which saves passes over all features; not
        in half precision, where scores are to be computed in float32, and not where somebody looks
        at the linear map or has put another module in its place.
        """
        if _is_folded(linear):
            found: tuple[Tensor, ...] = linear(x, torch.cat(scorers), features=features)
            if not features:
                return found
            return found[0].view(-1, self.heads, self.out_channels), *found[1:]
        values = linear(x).view(-1, self.heads, self.out_channels)
        scores = [_score(values, att) for att in scorers]
        return (values, *scores) if features else tuple(scores)


def _is_folded(linear: Module) -> bool:
    """Whether scores are part of the product: nobody looks at it, and it is no half precision."""
    if not (isinstance(linear, Linear) and is_plain(linear)):
        return False
    half = linear.weight.dtype in (torch.float16, torch.bfloat16)
    return not half and not torch.is_autocast_enabled(linear.weight.device.type)


def _score(x: Tensor, att: Tensor) -> Tensor:
    """Inner product of every head with its scorer, in float32 at least. ``[N, H]``."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return (x.to(dtype) * att.to(dtype)).sum(dim=-1)
