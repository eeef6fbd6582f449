"""Definition of the ops of :mod:`graphattn.ops.gat` in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphattn.ops._dropout import edge_dropout
from graphattn.ops.edge_softmax.reference import edge_softmax
from graphattn.ops.self_loops import looped
from graphattn.ops.spmm.reference import spmm

__all__ = ["gat_attend", "gat_attention"]


def gat_attention(
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    edge_score: Tensor | None,
    num_self_loops: int,
    negative_slope: float,
) -> Tensor:
    """See :func:`graphattn.ops.gat_attention`."""
    appended, counted, _ = looped(edge_index, num_self_loops)
    return _coefficients(score_src, score_dst, appended, counted, edge_score, negative_slope)


def gat_attend(
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    edge_score: Tensor | None,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """See :func:`graphattn.ops.gat_attend`."""
    appended, counted, position = looped(edge_index, num_self_loops)
    alpha = _coefficients(score_src, score_dst, appended, counted, edge_score, negative_slope)
    if seed is not None:
        alpha = edge_dropout(alpha, position, seed, dropout)
    return spmm(x, alpha, appended, score_dst.size(0), bias)


def _coefficients(
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    counted: Tensor,
    edge_score: Tensor | None,
    negative_slope: float,
) -> Tensor:
    src, dst = edge_index
    score = score_src.index_select(0, src) + score_dst.index_select(0, dst)
    if edge_score is not None:
        score = score + edge_score
    score = leaky_relu(score.to(torch.promote_types(score.dtype, torch.float32)), negative_slope)
    score = score.masked_fill(~counted.unsqueeze(1), -torch.inf)
    return edge_softmax(score, dst, score_dst.size(0))
