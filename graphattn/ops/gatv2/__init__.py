"""Dynamic attention of GATv2."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops._attend import Call, attend
from graphattn.ops._check import (
    check_bias,
    check_edge_index,
    check_self_loops,
    check_shape,
    check_values,
)
from graphattn.ops._dispatch import choose
from graphattn.ops._dropout import seed_of
from graphattn.ops.gatv2 import reference

__all__ = ["gatv2_attend", "gatv2_attention"]


def gatv2_attention(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    *,
    edge_x: Tensor | None = None,
    num_self_loops: int = 0,
    negative_slope: float = 0.2,
) -> Tensor:
    r"""Attention coefficients of GATv2 (https://arxiv.org/abs/2105.14491, equation 7).

    .. math::
        \alpha_e = \mathrm{softmax}_{e \in \mathrm{in}(i)}
        \bigl(\mathbf{a}^{\top} \mathrm{LeakyReLU}(\mathbf{l}_j + \mathbf{r}_i +
        \mathbf{f}_e)\bigr), \qquad e = (j \to i)

    Args:
        x_src: Transformed sources :math:`\mathbf{l}`. Shape ``[N_src, H, C]``.
        x_dst: Transformed destinations :math:`\mathbf{r}`. Shape ``[N_dst, H, C]``.
        att: The scorer :math:`\mathbf{a}` of each head. Shape ``[H, C]``.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        edge_x: Transformed edge features :math:`\mathbf{f}`, with rows for the self-loops behind
            those of the edges. Shape ``[E + num_self_loops, H, C]``.
        num_self_loops: The nodes 0 to ``num_self_loops - 1`` attend to themselves, once. A loop
            among the edges is taken where there is one; its further copies get the weight 0.
        negative_slope: Slope of the LeakyReLU below zero.

    Returns:
        Coefficients of the edges in their order, then of the self-loops; 0 for the self-loop of a
        node that has one among its edges. Computed in ``float32`` at least.
        Shape ``[E + num_self_loops, H]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> left, right, att = torch.zeros(1, 1, 2), torch.zeros(2, 1, 2), torch.ones(1, 2)
        >>> gatv2_attention(left, right, att, torch.tensor([[0, 0], [1, 1]]))
        tensor([[0.5000],
                [0.5000]])
    """
    _check(x_src, x_dst, att, edge_index, edge_x, num_self_loops)
    return reference.gatv2_attention(
        x_src, x_dst, att, edge_index, edge_x, num_self_loops, negative_slope
    )


def gatv2_attend(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    *,
    edge_x: Tensor | None = None,
    num_self_loops: int = 0,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    bias: Tensor | None = None,
    donate: bool = False,
) -> Tensor:
    r"""Sum the transformed sources with the weights of :func:`gatv2_attention`.

    .. math::
        \mathbf{o}_i = \sum_{e = (j \to i)} k_e \alpha_e \, \mathbf{l}_j + \mathbf{b},

    where :math:`k_e` is 0 with probability ``dropout`` and :math:`1 / (1 - \mathrm{dropout})`
    otherwise. A node without an edge gets the bias alone.

    Args:
        x_src: See :func:`gatv2_attention`. Shape ``[N_src, H, C]``.
        x_dst: Shape ``[N_dst, H, C]``.
        att: Shape ``[H, C]``.
        edge_index: Shape ``[2, E]``.
        edge_x: Shape ``[E + num_self_loops, H, C]``.
        num_self_loops: See :func:`gatv2_attention`.
        negative_slope: Slope of the LeakyReLU below zero.
        dropout: Probability of dropping a coefficient, in ``[0, 1]``; pass 0 in evaluation.
        seed: Decides which coefficients are dropped, the same in every implementation. Drawn from
            torch's generator if not given. Shape ``[1]``, ``int64``.
        bias: Added to the sums before they are rounded. Shape ``[H, C]``, or ``[N_dst, H, C]`` for
            one of every destination.
        donate: Nobody else reads the operands of nodes, or a bias of destinations, nor does the
            backward of what made them, as that of another attention op would: backward may leave
            gradients in their place, where the graph is not kept, and needs no other memory of
            the size of nodes. Ignored where an implementation has no use for it.

    Returns:
        The sums, in the dtype of ``x_src``. Shape ``[N_dst, H, C]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.
    """
    _check(x_src, x_dst, att, edge_index, edge_x, num_self_loops, bias=bias)
    check_bias(bias, x_dst.size(0), x_src.shape[1:])
    seed = seed_of(dropout, seed, x_src.device)
    implementation = choose("gatv2_attend", x_src.device.type).implementation
    if implementation == "reference":
        return reference.gatv2_attend(
            x_src,
            x_dst,
            att,
            edge_index,
            edge_x,
            num_self_loops,
            negative_slope,
            dropout,
            seed,
            bias,
        )
    dtype = torch.promote_types(x_src.dtype, torch.float32)
    return attend(
        Call(
            implementation,
            "gatv2",
            x_dst.size(0),
            num_self_loops,
            negative_slope,
            dropout,
            donate,
            edge_index,
            seed,
            edge_x=None if edge_x is None else edge_x.to(x_src.dtype),
            edge_score=None,
            bias=None if bias is None else bias.to(dtype),
            nodes=(x_src, x_dst.to(x_src.dtype), att.to(dtype)),
        )
    )


def _check(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None,
    num_self_loops: int,
    **others: Tensor | None,
) -> None:
    check_values(edge_index, x_src=x_src, x_dst=x_dst, att=att, edge_x=edge_x, **others)
    check_shape(x_src, "x_src", (None, None, None))
    heads, channels = x_src.shape[1:]
    check_shape(x_dst, "x_dst", (None, heads, channels))
    check_shape(att, "att", (heads, channels))
    check_edge_index(edge_index, num_src=x_src.size(0), num_dst=x_dst.size(0))
    check_self_loops(num_self_loops, min(x_src.size(0), x_dst.size(0)))
    if edge_x is not None:
        check_shape(edge_x, "edge_x", (edge_index.size(1) + num_self_loops, heads, channels))
