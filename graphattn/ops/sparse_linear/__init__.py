"""Linear map and dropout of node features that are mostly zero."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops._dispatch import choose
from graphattn.ops.checks import check_csr, check_shape
from graphattn.ops.kept import shares_pattern
from graphattn.ops.sparse_linear import cpu, reference

__all__ = ["sparse_dropout", "sparse_linear"]


def sparse_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Apply a linear map to the rows of a sparse matrix: :math:`X W^{\top} + \mathbf{b}`.

    Takes part in autograd through ``weight`` and ``bias``; ``x`` is data.

    Args:
        x: Features. ``torch.sparse_csr``, shape ``[N, F]``.
        weight: Shape ``[O, F]``.
        bias: Shape ``[O]``.

    Returns:
        Dense result in the dtype of ``weight``. Shape ``[N, O]``.

    Raises:
        TypeError: If ``x`` is not ``torch.sparse_csr``.
        ValueError: If a shape does not fit, or ``x`` requires a gradient.

    Example:
        >>> x = torch.eye(2).to_sparse_csr()
        >>> sparse_linear(x, torch.tensor([[1.0, 2.0]]))
        tensor([[1.],
                [2.]])
    """
    _check_csr(x)
    check_shape(weight, "weight", (None, x.size(1)))
    if bias is not None:
        check_shape(bias, "bias", (weight.size(0),))
    if x.requires_grad:
        raise ValueError("'x' is sparse and requires a gradient; make it dense to differentiate it")
    if choose("sparse_linear", x.device.type).implementation == "cpu":
        return cpu.sparse_linear(x, weight, bias)
    return reference.sparse_linear(x, weight, bias)


def sparse_dropout(x: Tensor, p: float, *, training: bool) -> Tensor:
    """Drop entries of a sparse matrix; those that are zero need no mask.

    The result has the distribution of ``torch.nn.functional.dropout`` on the dense matrix.

    Args:
        x: ``torch.sparse_csr``, shape ``[N, F]``.
        p: Probability of dropping an entry, in ``[0, 1]``; the others are scaled by
            ``1 / (1 - p)``.
        training: Returns ``x`` itself if False.

    Returns:
        A matrix with the pattern of ``x``.

    Raises:
        TypeError: If ``x`` is not ``torch.sparse_csr``.
        ValueError: If ``p`` lies outside of ``[0, 1]``.
    """
    _check_csr(x)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"'p' must lie in [0, 1], got {p}")
    if not training or p == 0.0:
        return x
    return shares_pattern(reference.sparse_dropout(x, p), x)


def _check_csr(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"'x' must be a tensor, got {type(x).__name__}")
    if x.layout != torch.sparse_csr:
        raise TypeError(f"'x' must be a torch.sparse_csr tensor, got layout {x.layout}")
    check_shape(x, "x", (None, None))
    check_csr(x, "x")
