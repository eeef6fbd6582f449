"""Definition of :func:`graphattn.ops.spmm` in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["spmm"]


def spmm(
    x: Tensor, weight: Tensor, edge_index: Tensor, num_dst: int, bias: Tensor | None = None
) -> Tensor:
    """See :func:`graphattn.ops.spmm`."""
    src, dst = edge_index
    accumulator = torch.promote_types(x.dtype, torch.float32)
    message = weight.unsqueeze(-1).to(accumulator) * x.index_select(0, src)
    out = message.new_zeros((num_dst, *x.shape[1:])).index_add(0, dst, message)
    return (out if bias is None else out + bias).to(x.dtype)
