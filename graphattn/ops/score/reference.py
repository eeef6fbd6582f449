"""Definition of :func:`graphattn.ops.score_attend` in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops._dropout import edge_dropout
from graphattn.ops.edge_softmax.reference import edge_softmax
from graphattn.ops.self_loops import looped
from graphattn.ops.spmm.reference import spmm

__all__ = ["score_attend"]


def score_attend(
    x: Tensor,
    score: Tensor,
    edge_index: Tensor,
    num_dst: int,
    dropout: float,
    seed: Tensor | None,
) -> Tensor:
    """See :func:`graphattn.ops.score_attend`."""
    dst = edge_index[1]
    score = score.to(torch.promote_types(score.dtype, torch.float32))
    alpha = edge_softmax(score, dst, num_dst)
    if seed is not None:
        alpha = edge_dropout(alpha, looped(edge_index, 0).position, seed, dropout)
    return spmm(x, alpha, edge_index, num_dst)
