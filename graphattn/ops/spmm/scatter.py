"""Form of :func:`graphattn.ops.spmm` on the segment reductions of torch-scatter."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["spmm"]


def spmm(x: Tensor, weight: Tensor, edge_index: Tensor, num_dst: int) -> Tensor:
    """See :func:`graphattn.ops.spmm`."""
    from torch_scatter import scatter  # an extra; nothing else needs it

    src, dst = edge_index.long()
    accumulator = torch.promote_types(x.dtype, torch.float32)
    message = weight.unsqueeze(-1).to(accumulator) * x.index_select(0, src)
    out: Tensor = scatter(message, dst, dim=0, dim_size=num_dst, reduce="sum")
    return out.to(x.dtype)
