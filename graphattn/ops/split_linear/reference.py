"""Definition of :func:`graphattn.ops.split_linear` in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

__all__ = ["split_linear"]


def split_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    """See :func:`graphattn.ops.split_linear`."""
    blocks: tuple[Tensor, ...] = torch.split(linear(x, weight, bias), list(sizes), dim=1)
    return blocks
