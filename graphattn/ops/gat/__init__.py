"""Additive attention of GAT."""

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
from graphattn.ops.gat import reference

__all__ = ["gat_attend", "gat_attention"]


def gat_attention(
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    *,
    edge_score: Tensor | None = None,
    num_self_loops: int = 0,
    negative_slope: float = 0.2,
) -> Tensor:
    r"""Attention coefficients of GAT (https://arxiv.org/abs/1710.10903, equations 1 to 3).

    .. math::
        \alpha_e = \mathrm{softmax}_{e \in \mathrm{in}(i)}
        \bigl(\mathrm{LeakyReLU}(u_j + w_i + r_e)\bigr), \qquad e = (j \to i)

    Args:
        score_src: The part :math:`u` of a source in the score. Shape ``[N_src, H]``.
        score_dst: The part :math:`w` of a destination. Shape ``[N_dst, H]``.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        edge_score: The part :math:`r` of an edge, with rows for the self-loops behind those of the
            edges. Shape ``[E + num_self_loops, H]``.
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
        >>> u, w = torch.zeros(2, 1), torch.zeros(2, 1)
        >>> gat_attention(u, w, torch.tensor([[0], [1]]), num_self_loops=2)
        tensor([[0.5000],
                [1.0000],
                [0.5000]])
    """
    _check(score_src, score_dst, edge_index, edge_score, num_self_loops)
    return reference.gat_attention(
        score_src, score_dst, edge_index, edge_score, num_self_loops, negative_slope
    )


def gat_attend(
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    *,
    edge_score: Tensor | None = None,
    num_self_loops: int = 0,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    bias: Tensor | None = None,
    donate: bool = False,
) -> Tensor:
    r"""Sum the sources' features with the weights of :func:`gat_attention`.

    .. math::
        \mathbf{o}_i = \sum_{e = (j \to i)} k_e \alpha_e \, \mathbf{x}_j + \mathbf{b},

    where :math:`k_e` is 0 with probability ``dropout`` and :math:`1 / (1 - \mathrm{dropout})`
    otherwise. A node without an edge gets the bias alone.

    Args:
        x: Features of the source nodes. Shape ``[N_src, H, C]``.
        score_src: See :func:`gat_attention`. Shape ``[N_src, H]``.
        score_dst: Shape ``[N_dst, H]``.
        edge_index: Shape ``[2, E]``.
        edge_score: Shape ``[E + num_self_loops, H]``.
        num_self_loops: See :func:`gat_attention`.
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
        The sums, in the dtype of ``x``. Shape ``[N_dst, H, C]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.
    """
    _check(score_src, score_dst, edge_index, edge_score, num_self_loops, x=x, bias=bias)
    check_shape(x, "x", (score_src.size(0), score_src.size(1), None))
    check_bias(bias, score_dst.size(0), x.shape[1:])
    seed = seed_of(dropout, seed, x.device)
    implementation = choose("gat_attend", x.device.type).implementation
    if implementation == "reference":
        return reference.gat_attend(
            x,
            score_src,
            score_dst,
            edge_index,
            edge_score,
            num_self_loops,
            negative_slope,
            dropout,
            seed,
            bias,
        )
    dtype = torch.promote_types(x.dtype, torch.float32)
    return attend(
        Call(
            implementation,
            "gat",
            score_dst.size(0),
            num_self_loops,
            negative_slope,
            dropout,
            donate,
            edge_index,
            seed,
            edge_x=None,
            edge_score=None if edge_score is None else edge_score.to(dtype),
            bias=None if bias is None else bias.to(dtype),
            nodes=(x, score_src.to(dtype), score_dst.to(dtype)),
        )
    )


def _check(
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    edge_score: Tensor | None,
    num_self_loops: int,
    **others: Tensor | None,
) -> None:
    check_values(
        edge_index,
        score_src=score_src,
        score_dst=score_dst,
        edge_score=edge_score,
        **others,
    )
    check_shape(score_src, "score_src", (None, None))
    check_shape(score_dst, "score_dst", (None, score_src.size(1)))
    check_edge_index(edge_index, num_src=score_src.size(0), num_dst=score_dst.size(0))
    check_self_loops(num_self_loops, min(score_src.size(0), score_dst.size(0)))
    if edge_score is not None:
        rows = edge_index.size(1) + num_self_loops
        check_shape(edge_score, "edge_score", (rows, score_src.size(1)))
