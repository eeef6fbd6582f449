"""Definitions in plain torch of the two segment reductions that all others here are made of."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["edge_softmax", "spmm"]


def edge_softmax(score: Tensor, index: Tensor, num_nodes: int) -> Tensor:
    """See :func:`graphattn.ops.edge_softmax`."""
    dtype = score.dtype
    score = score.to(torch.promote_types(dtype, torch.float32))
    shape = (num_nodes, *score.shape[1:])
    rows = index.long().unsqueeze(1).expand_as(score)
    # The result does not depend on the shift, so no gradient goes through it.
    shift = score.new_full(shape, -torch.inf).scatter_reduce(0, rows, score.detach(), "amax")
    shift = shift.masked_fill(shift == -torch.inf, 0.0)
    weight = (score - shift.index_select(0, index)).exp()
    total = weight.new_zeros(shape).index_add(0, index, weight)
    # Zero only where every score is -inf; those weights are zero too.
    total = total.masked_fill(total == 0.0, 1.0)
    return (weight / total.index_select(0, index)).to(dtype)


def spmm(
    x: Tensor, weight: Tensor, edge_index: Tensor, num_dst: int, bias: Tensor | None = None
) -> Tensor:
    """See :func:`graphattn.ops.spmm`; with what is added to the sums before they are rounded."""
    src, dst = edge_index
    accumulator = torch.promote_types(x.dtype, torch.float32)
    message = weight.unsqueeze(-1).to(accumulator) * x.index_select(0, src)
    out = message.new_zeros((num_dst, *x.shape[1:])).index_add(0, dst, message)
    return (out if bias is None else out + bias).to(x.dtype)
