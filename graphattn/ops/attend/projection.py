"""Operands that are linear maps of features, computed where they are needed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

__all__ = ["Projection"]


class Projection:
    r"""An operand that is a linear map of features, in the place of the result.

    :func:`graphattn.ops.attend` computes it, together with others of the same features, in memory
    that nobody else sees: backward needs no other for its gradient.

    Args:
        x: Features. Shape ``[N, F]``.
        weight: :math:`\mathbf{W}`. Shape ``[H * C, F]``.
        bias: Shape ``[H * C]``.
        heads: Number of heads ``H``.
        att: Scorer :math:`\mathbf{a}` of every head, shape ``[H, C]`` or ``[1, H, C]``; the operand
            is then the inner product :math:`\mathbf{a}_h^{\top} (\mathbf{W} \mathbf{x})_h`, and
            there is no bias.
    """

    __slots__ = ("att", "bias", "dtype", "heads", "shape", "weight", "x")

    def __init__(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        heads: int,
        att: Tensor | None = None,
    ) -> None:
        self.x = x
        self.weight = weight
        self.bias = bias
        self.heads = heads
        self.att = att
        self.dtype: torch.dtype = weight.dtype
        """Type of the operand."""
        self.shape: tuple[int, ...] = (x.shape[0], heads)
        """Shape of the operand, ``[N, H, C]`` or ``[N, H]``."""
        if att is None:
            self.shape = (*self.shape, weight.shape[0] // heads)

    def compute(self) -> Tensor:
        """The operand, by torch's own ops."""
        out = linear(self.x, self.weight, self.bias)
        out = out.view(out.size(0), self.heads, out.size(1) // self.heads)
        if self.att is None:
            return out
        dtype = torch.promote_types(out.dtype, torch.float32)
        return (out.to(dtype) * self.att.to(dtype)).sum(dim=-1)
