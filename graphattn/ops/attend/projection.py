"""Operands that are linear maps of features, computed where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

__all__ = ["Projection"]


@dataclass(frozen=True, eq=False, slots=True)
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

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    heads: int
    att: Tensor | None = None

    @property
    def shape(self) -> Sequence[int]:
        """Shape of the operand, ``[N, H, C]`` or ``[N, H]``."""
        shape = (self.x.size(0), self.heads, self.weight.size(0) // self.heads)
        return shape if self.att is None else shape[:2]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the operand."""
        return self.weight.dtype

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """What it is made of."""
        return self.x, self.weight, self.bias, self.att

    def compute(self) -> Tensor:
        """The operand, by torch's own ops."""
        out = linear(self.x, self.weight, self.bias)
        out = out.view(out.size(0), self.heads, out.size(1) // self.heads)
        if self.att is None:
            return out
        dtype = torch.promote_types(out.dtype, torch.float32)
        return (out.to(dtype) * self.att.to(dtype)).sum(dim=-1)
