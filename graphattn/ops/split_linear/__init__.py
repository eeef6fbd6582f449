"""Linear map whose result is used in blocks of columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphattn.ops._check import check_shape
from graphattn.ops._dispatch import choose
from graphattn.ops.split_linear import cpu, reference

__all__ = ["split_linear"]


def split_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    r"""Apply a linear map and split the columns of the result: :math:`X W^{\top} + \mathbf{b}`.

    The native form computes what torch does, on huge pages where the result is large, and needs no
    copy in the backward if the gradients of the blocks lie side by side, as those of
    :func:`graphattn.ops.gat_attend` do. It can't be differentiated twice.

    Args:
        x: Features. Shape ``[N, F]``.
        weight: Shape ``[O, F]``, in the dtype of ``x``.
        bias: Shape ``[O]``.
        sizes: Widths of the blocks; they sum to ``O``.

    Returns:
        Blocks of shape ``[N, size]``, views of one matrix.

    Raises:
        ValueError: If a shape does not fit.

    Example:
        >>> left, right = split_linear(torch.ones(2, 3), torch.eye(3), sizes=(1, 2))
        >>> right
        tensor([[1., 1.],
                [1., 1.]])
    """
    check_shape(x, "x", (None, None))
    check_shape(weight, "weight", (sum(sizes), x.size(1)))
    if bias is not None:
        check_shape(bias, "bias", (sum(sizes),))
    fast = choose("split_linear", x.device.type).implementation == "cpu"
    # Autocast and the compiler see through torch's product only.
    if fast and not torch.is_autocast_enabled(x.device.type) and not torch.compiler.is_compiling():
        return cpu.split_linear(x, weight, bias, sizes)
    return reference.split_linear(x, weight, bias, sizes)
