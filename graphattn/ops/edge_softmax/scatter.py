"""Form of :func:`graphattn.ops.edge_softmax` on the segment reductions of torch-scatter."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["edge_softmax"]


def edge_softmax(score: Tensor, index: Tensor, num_nodes: int) -> Tensor:
    """See :func:`graphattn.ops.edge_softmax`."""
    from torch_scatter import scatter  # an extra; nothing else needs it

    dtype = score.dtype
    score = score.to(torch.promote_types(dtype, torch.float32))
    index = index.long()
    # The result does not depend on the shift, so no gradient goes through it.
    shift = scatter(score.detach(), index, dim=0, dim_size=num_nodes, reduce="max")
    shift = shift.masked_fill(shift == -torch.inf, 0.0)
    weight = (score - shift.index_select(0, index)).exp()
    total = scatter(weight, index, dim=0, dim_size=num_nodes, reduce="sum")
    # Zero only where every score is -inf; those weights are zero too.
    total = total.masked_fill(total == 0.0, 1.0)
    alpha: Tensor = weight / total.index_select(0, index)
    return alpha.to(dtype)
