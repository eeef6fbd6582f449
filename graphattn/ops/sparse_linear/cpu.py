"""CPU form of :func:`graphattn.ops.sparse_linear`: torch's product, transposed once per pattern.

torch's own backward sorts all non-zeros by comparison to transpose ``x``, every time; that is most
of the cost of this op on bag-of-words features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphattn.ops._csr import build_csr
from graphattn.ops.kept import fingerprint, kept

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
    what = ("by feature", x.shape, fingerprint(x.crow_indices()))
    rowptr, col, place = kept(x.col_indices(), what, lambda: _by_feature(x), owner=x)
    values = x.values().index_select(0, place)
    return torch.sparse_csr_tensor(
        rowptr, col, values, (x.size(1), x.size(0)), check_invariants=False
    )


def _by_feature(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of every feature its nodes, and where their values stand in ``x``."""
    degree = x.crow_indices().diff()
    node = torch.repeat_interleave(degree).to(degree.dtype)
    rows = build_csr(torch.stack([node, x.col_indices()]), num_src=x.size(0), num_dst=x.size(1))
    return rows.rowptr, rows.col, rows.edge
