"""Definition of the ops of :mod:`graphattn.ops.dot` in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops._dropout import edge_dropout
from graphattn.ops.edge_softmax.reference import edge_softmax
from graphattn.ops.self_loops import looped
from graphattn.ops.spmm.reference import spmm

__all__ = ["dot_attend", "dot_attention"]


def dot_attention(
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None,
    edge_score: Tensor | None,
    num_self_loops: int,
    scale: float,
) -> Tensor:
    """See :func:`graphattn.ops.dot_attention`."""
    appended, counted, _ = looped(edge_index, num_self_loops)
    return _coefficients(query, key, appended, counted, edge_x, edge_score, scale)


def dot_attend(
    value: Tensor,
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None,
    edge_score: Tensor | None,
    num_self_loops: int,
    scale: float,
    dropout: float,
    seed: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """See :func:`graphattn.ops.dot_attend`."""
    appended, counted, position = looped(edge_index, num_self_loops)
    alpha = _coefficients(query, key, appended, counted, edge_x, edge_score, scale)
    if seed is not None:
        alpha = edge_dropout(alpha, position, seed, dropout)
    if edge_x is None:
        return spmm(value, alpha, appended, query.size(0), bias)
    # The value of an edge is its own: as if every edge came from a node that it alone leaves.
    edges = torch.arange(appended.size(1), dtype=appended.dtype, device=appended.device)
    carried = value.index_select(0, appended[0]) + edge_x
    return spmm(carried, alpha, torch.stack([edges, appended[1]]), query.size(0), bias)


def _coefficients(
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    counted: Tensor,
    edge_x: Tensor | None,
    edge_score: Tensor | None,
    scale: float,
) -> Tensor:
    src, dst = edge_index
    keys = key.index_select(0, src)
    if edge_x is not None:
        keys = keys + edge_x
    accumulator = torch.promote_types(key.dtype, torch.float32)
    score = (query.index_select(0, dst).to(accumulator) * keys).sum(dim=-1) * scale
    if edge_score is not None:
        score = score + edge_score
    score = score.masked_fill(~counted.unsqueeze(1), -torch.inf)
    return edge_softmax(score, dst, query.size(0))
