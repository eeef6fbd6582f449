"""Definition of the ops of :mod:`graphattn.ops.gatv2` in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphattn.ops._dropout import edge_dropout
from graphattn.ops.edge_softmax.reference import edge_softmax
from graphattn.ops.self_loops import looped
from graphattn.ops.spmm.reference import spmm

__all__ = ["gatv2_attend", "gatv2_attention"]


def gatv2_attention(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None,
    num_self_loops: int,
    negative_slope: float,
) -> Tensor:
    """See :func:`graphattn.ops.gatv2_attention`."""
    appended, counted, _ = looped(edge_index, num_self_loops)
    return _coefficients(x_src, x_dst, att, appended, counted, edge_x, negative_slope)


def gatv2_attend(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """See :func:`graphattn.ops.gatv2_attend`."""
    appended, counted, position = looped(edge_index, num_self_loops)
    alpha = _coefficients(x_src, x_dst, att, appended, counted, edge_x, negative_slope)
    if seed is not None:
        alpha = edge_dropout(alpha, position, seed, dropout)
    return spmm(x_src, alpha, appended, x_dst.size(0), bias)


def _coefficients(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    counted: Tensor,
    edge_x: Tensor | None,
    negative_slope: float,
) -> Tensor:
    src, dst = edge_index
    pair = x_src.index_select(0, src) + x_dst.index_select(0, dst)
    if edge_x is not None:
        pair = pair + edge_x
    pair = leaky_relu(pair.to(torch.promote_types(pair.dtype, torch.float32)), negative_slope)
    score = (pair * att).sum(dim=-1)
    score = score.masked_fill(~counted.unsqueeze(1), -torch.inf)
    return edge_softmax(score, dst, x_dst.size(0))
