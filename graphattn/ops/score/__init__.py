"""Attention whose scores are given."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops._attend import Call, attend
from graphattn.ops._check import check_count, check_edge_index, check_shape, check_values
from graphattn.ops._dispatch import choose
from graphattn.ops._dropout import seed_of
from graphattn.ops.score import reference

__all__ = ["score_attend"]


def score_attend(
    x: Tensor,
    score: Tensor,
    edge_index: Tensor,
    *,
    num_dst: int,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    r"""Sum the sources' features with the softmax of given scores as weights.

    .. math::
        \mathbf{o}_i = \sum_{e = (j \to i)} k_e \,
        \mathrm{softmax}_{e \in \mathrm{in}(i)}(s_e) \, \mathbf{x}_j,

    where :math:`k_e` is 0 with probability ``dropout`` and :math:`1 / (1 - \mathrm{dropout})`
    otherwise: :func:`graphattn.ops.edge_softmax` and :func:`graphattn.ops.spmm` in one pass. A node
    without an edge gets zero.

    Args:
        x: Features of the source nodes. Shape ``[N_src, H, C]``.
        score: Scores of the edges; :math:`-\infty` gives the weight 0. Shape ``[E, H]``.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        num_dst: Number of destination nodes.
        dropout: Probability of dropping a coefficient, in ``[0, 1]``; pass 0 in evaluation.
        seed: Decides which coefficients are dropped, the same in every implementation. Drawn from
            torch's generator if not given. Shape ``[1]``, ``int64``.

    Returns:
        The sums, in the dtype of ``x``. Shape ``[N_dst, H, C]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> x = torch.tensor([[[1.0]], [[3.0]]])
        >>> edge_index = torch.tensor([[0, 1], [1, 1]])
        >>> score_attend(x, torch.zeros(2, 1), edge_index, num_dst=2).flatten()
        tensor([0., 2.])
    """
    check_values(edge_index, x=x, score=score)
    check_count(num_dst, "num_dst")
    check_shape(x, "x", (None, None, None))
    check_edge_index(edge_index, num_src=x.size(0), num_dst=num_dst)
    check_shape(score, "score", (edge_index.size(1), x.size(1)))
    seed = seed_of(dropout, seed, x.device)
    implementation = choose("score_attend", x.device.type).implementation
    if implementation == "reference":
        return reference.score_attend(x, score, edge_index, num_dst, dropout, seed)
    return attend(
        Call(
            implementation,
            "given",
            num_dst,
            0,
            0.0,
            dropout,
            False,
            edge_index,
            seed,
            edge_x=None,
            edge_score=score.to(torch.promote_types(x.dtype, torch.float32)),
            bias=None,
            nodes=(x,),
        )
    )
