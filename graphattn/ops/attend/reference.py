"""Definition of the ops of :mod:`graphattn.ops.attend` in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops._segments import edge_softmax, spmm
from graphattn.ops.attend.score import Score
from graphattn.ops.dropout import edge_dropout
from graphattn.ops.self_loops import looped

__all__ = ["attend", "scores_of_edges"]


def attend(
    values: Tensor | None,
    score: Score,
    edge_index: Tensor,
    num_dst: int,
    num_self_loops: int,
    dropout: float,
    seed: Tensor | None,
    bias: Tensor | None,
    *,
    softmax: bool = True,
) -> tuple[Tensor | None, Tensor]:
    """See :func:`graphattn.ops.attend`; the sums, if there are values, and the coefficients."""
    edges, counted, position = looped(edge_index, num_self_loops)
    scores = scores_of_edges(score, edges)
    if softmax:
        scores = scores.masked_fill(~counted.unsqueeze(1), -torch.inf)
        alpha = edge_softmax(scores, edges[1], num_dst)
    else:
        alpha = scores
    if values is None:
        return None, alpha
    weight = alpha if seed is None else edge_dropout(alpha, position, seed, dropout)
    edge_x = None if score.value_edge_x is None else getattr(score, score.value_edge_x)
    if edge_x is None:
        return spmm(values, weight, edges, num_dst, bias), alpha
    # The value of an edge is its own: as if every edge came from a node that it alone leaves.
    number = torch.arange(edges.size(1), dtype=edges.dtype, device=edges.device)
    carried = values.index_select(0, edges[0]) + edge_x
    return spmm(carried, weight, torch.stack([number, edges[1]]), num_dst, bias), alpha


def scores_of_edges(score: Score, edge_index: Tensor) -> Tensor:
    """The score of every edge, by its definition. ``[E, H]``, in ``float32`` at least.

    Args:
        score: The score.
        edge_index: All edges, with self-loops. Shape ``[2, E]``.
    """
    ends = {"src": edge_index[0], "dst": edge_index[1]}
    gathered = {}
    for name, operand in score.operands().items():
        end = ends.get(score.layout[name].split()[0])
        gathered[name] = operand if end is None else operand.index_select(0, end)
    return score.of_edges(**gathered)
