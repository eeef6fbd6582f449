"""Softmax over the edges that enter a node."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops._dispatch import choose
from graphattn.ops.attend.given_score import GivenScore
from graphattn.ops.attend.request import Request
from graphattn.ops.checks import check_count, check_range, check_shape, check_values, plain
from graphattn.ops.edge_softmax import scatter

__all__ = ["edge_softmax"]


def edge_softmax(score: Tensor, index: Tensor, *, num_nodes: int) -> Tensor:
    r"""Normalise edge scores over the edges that share a destination.

    .. math::
        \alpha_e = \frac{\exp(s_e - m_i)}{\sum_{e' : \mathrm{dst}(e') = i} \exp(s_{e'} - m_i)},
        \qquad i = \mathrm{dst}(e),

    with :math:`m_i` the largest score that enters node :math:`i`. The sum is taken in ``float32``
    when ``score`` is half precision. A score of :math:`-\infty` gives the weight 0, also where all
    scores of a node are :math:`-\infty`; a node without an edge owns no entry of the result.

    The native form sorts the edges by destination, and keeps that for as long as ``index`` lives
    unchanged.

    Args:
        score: Unnormalised scores, one row per edge. Shape ``[E, H]``.
        index: Destination of every edge. Shape ``[E]``, ``int32`` or ``int64``, any order.
        num_nodes: Number of destination nodes :math:`N`. Required, because reading it off
            ``index`` would wait for the device.

    Returns:
        Attention coefficients in the dtype of ``score``. Shape ``[E, H]``; they sum to one over the
        edges of each node that has any.

    Raises:
        TypeError: If ``index`` does not hold integers, or ``score`` no floating point numbers.
        ValueError: If a shape does not fit, the inputs are on two devices or, on the CPU, an index
            lies outside of ``[0, num_nodes)``.

    Example:
        >>> score = torch.tensor([[0.0], [0.0], [2.0]])
        >>> edge_softmax(score, torch.tensor([1, 1, 0]), num_nodes=2)
        tensor([[0.5000],
                [0.5000],
                [1.0000]])
    """
    index = plain(index, "index")
    check_count(num_nodes, "num_nodes")
    check_shape(score, "score", (None, None))
    check_shape(index, "index", (score.size(0),))
    check_values(index, score=score)
    if index.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"'index' must be int32 or int64, got {index.dtype}")
    if choose("edge_softmax", score.device.type).implementation == "scatter":
        check_range(index, "index", num_nodes)
        return scatter.edge_softmax(score, index, num_nodes)
    given = GivenScore(score)
    request = Request("edge_softmax", given, index, num_nodes, num_nodes, wants_alpha=True)
    return request.coefficients().to(score.dtype)
