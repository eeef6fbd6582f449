"""CPU form of :func:`graphattn.ops.sparse_linear`: torch's product, transposed by counting sort.

torch's own backward sorts all non-zeros by comparison to transpose ``x``, every time; that is most
of the cost of this op on bag-of-words features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphattn.ops._csr import build_csr

__all__ = ["sparse_linear"]


def sparse_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """See :func:`graphattn.ops.sparse_linear`."""
    dtype = torch.promote_types(weight.dtype, torch.float32)
    product: Tensor = _Product.apply(x.to(dtype), weight.to(dtype).t())  # type: ignore[no-untyped-call]
    out = product.to(weight.dtype)
    return out if bias is None else out + bias


class _Product(torch.autograd.Function):
    """Sparse times dense, differentiable with respect to the dense one, as often as one likes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dense: Tensor) -> Tensor:
        ctx.x = x
        with torch.autocast("cpu", enabled=False):
            return x @ dense

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, _Product.apply(_transpose(ctx.x), grad)  # type: ignore[no-untyped-call]


def _transpose(x: Tensor) -> Tensor:
    degree = x.crow_indices().diff()
    node = torch.repeat_interleave(degree).to(degree.dtype)
    # By feature: its nodes, and where their values stand in `x`.
    rows = build_csr(torch.stack([node, x.col_indices()]), num_src=x.size(0), num_dst=x.size(1))
    return torch.sparse_csr_tensor(
        rows.rowptr,
        rows.col,
        x.values().index_select(0, rows.edge),
        (x.size(1), x.size(0)),
        check_invariants=False,
    )
