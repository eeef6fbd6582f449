"""CPU form of :func:`graphattn.ops.split_linear`: torch's product in memory of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphattn.ops import _native

__all__ = ["split_linear"]


def split_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    """See :func:`graphattn.ops.split_linear`."""
    blocks: tuple[Tensor, ...] = _SplitLinear.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, list(sizes)
    )
    return blocks


class _SplitLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, sizes: list[int]
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        out = _native.empty((x.size(0), weight.size(0)), x.dtype)
        if bias is None:
            torch.mm(x, weight.t(), out=out)
        else:
            torch.addmm(bias, x, weight.t(), out=out)
        return torch.split(out, sizes, dim=1) if len(sizes) > 1 else (out,)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = _native.joined(grads)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.mm(grad, weight, out=_native.empty(x.shape, x.dtype))
        if ctx.needs_input_grad[1]:
            grad_weight = grad.t() @ x
        if ctx.has_bias and ctx.needs_input_grad[2]:
            grad_bias = grad.sum(dim=0)
        return grad_x, grad_weight, grad_bias, None
