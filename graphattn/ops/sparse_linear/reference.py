"""Definition of the ops of :mod:`graphattn.ops.sparse_linear` in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sparse_dropout", "sparse_linear"]


def sparse_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """See :func:`graphattn.ops.sparse_linear`."""
    # torch multiplies sparse matrices in float32 and float64 only, also under autocast.
    dtype = torch.promote_types(weight.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        out = (x.to(dtype) @ weight.to(dtype).t()).to(weight.dtype)
    return out if bias is None else out + bias


def sparse_dropout(x: Tensor, p: float) -> Tensor:
    """See :func:`graphattn.ops.sparse_dropout`."""
    return torch.sparse_csr_tensor(
        x.crow_indices(),
        x.col_indices(),
        torch.dropout(x.values(), p, train=True),
        x.shape,
        check_invariants=False,
    )
