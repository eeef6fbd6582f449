"""PyG's linear map, for sparse features too, and maps that a fused op computes itself."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import linear
from torch.nn.modules import module
from torch_geometric import nn as pyg

from graphattn.ops import Projection, sparse_linear

__all__ = ["Linear", "apply_map", "is_plain", "plan_map"]


class Linear(pyg.Linear):
    """:class:`torch_geometric.nn.Linear` that also takes ``torch.sparse_csr`` features.

    Parameters, initialisation and lazy sizes (``in_channels=-1``) are PyG's.

    Example:
        >>> Linear(3, 2)(torch.eye(3).to_sparse_csr()).shape
        torch.Size([3, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        r"""Map ``x`` of shape ``[*, in_channels]`` to ``[*, out_channels]``.

        Args:
            x: Dense or, in two dimensions, ``torch.sparse_csr``; in the dtype of the weight unless
                autocast is on.

        Raises:
            TypeError: If ``x`` has another dtype.
            ValueError: If the width of ``x`` differs from ``in_channels``.
        """
        self.check(x)
        if x.layout == torch.sparse_csr:
            return sparse_linear(x, self.weight, self.bias)
        return linear(x, self.weight, self.bias)

    def check(self, x: Tensor) -> None:
        """Check that ``x`` fits to the weight.

        Raises:
            TypeError: If it is no tensor, or of another dtype.
            ValueError: If it has not ``in_channels`` columns.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"'x' must be a tensor, got {type(x).__name__}")
        if x.shape[-1] != self.in_channels:
            raise ValueError(
                f"'x' has {x.shape[-1]} features per node, expected {self.in_channels} "
                "('in_channels')"
            )
        if x.dtype != self.weight.dtype and (
            x.is_meta or not torch.is_autocast_enabled(x.device.type)
        ):
            raise TypeError(
                f"'x' is {x.dtype}, but the layer's weights are {self.weight.dtype}; convert one "
                "of them, as by .to(torch.float32)"
            )


_FORWARD = Linear.forward


def is_plain(one: Module) -> TypeGuard[Linear]:
    """Whether a map does what :class:`Linear` says, with nobody looking on or in its place."""
    return (
        type(one) is Linear
        and Linear.forward is _FORWARD
        and "forward" not in one.__dict__
        and not (one._forward_hooks or one._forward_pre_hooks)
        and not (one._backward_hooks or one._backward_pre_hooks)
        and not (module._global_forward_hooks or module._global_forward_pre_hooks)
        and not (module._global_backward_hooks or module._global_backward_pre_hooks)
    )


def apply_map(one: Module, x: Tensor, heads: int, *scorers: Tensor) -> tuple[Tensor, ...]:
    r"""A linear map by head, and inner products of its heads with scorers.

    Args:
        one: The map.
        x: Dense or ``torch.sparse_csr``. Shape ``[N, F]``.
        heads: Number of heads ``H``.
        *scorers: :math:`\mathbf{a}` of every head. Shape ``[1, H, C]``.

    Returns:
        The map, ``[N, H, C]``, and for each scorer the inner products, in ``float32`` at least,
        ``[N, H]``.
    """
    out = one(x)
    out = out.view(out.size(0), heads, out.size(1) // heads)
    wide = out.to(torch.promote_types(out.dtype, torch.float32)) if scorers else out
    return out, *((wide * att.to(wide.dtype)).sum(dim=-1) for att in scorers)


def plan_map(
    one: Module, x: Tensor, heads: int, *scorers: Tensor
) -> tuple[Tensor | Projection, ...]:
    """What :func:`apply_map` returns, left to a fused op to compute where nobody can tell.

    Maps of the same features, and scores, become columns of one product, which saves passes over
    all features; not in half precision, where a product is rounded before it is used.

    Args:
        one: The map.
        x: See :func:`apply_map`.
        heads: See :func:`apply_map`.
        *scorers: See :func:`apply_map`.
    """
    if (
        not is_plain(one)
        or x.layout not in (torch.strided, torch.sparse_csr)
        or x.dim() != 2
        or x.is_meta
        or torch.is_autocast_enabled(x.device.type)
        or one.weight.dtype.itemsize < 4
        or (scorers and one.bias is not None)
    ):
        return apply_map(one, x, heads, *scorers)
    one.check(x)
    weight, bias = one.weight, one.bias
    if x.layout == torch.sparse_csr:
        return _sparse_map(x, weight, bias, heads, scorers)
    return (
        Projection(x, weight, bias, heads),
        *[Projection(x, weight, bias, heads, att) for att in scorers],
    )


def _sparse_map(
    x: Tensor, weight: Tensor, bias: Tensor | None, heads: int, scorers: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The map of sparse features with its scores, by one product."""
    by_head = weight.view(heads, -1, weight.size(1))
    rows = [torch.bmm(att.view(heads, 1, -1), by_head).squeeze(1) for att in scorers]
    out = sparse_linear(x, torch.cat([weight, *rows]) if rows else weight, bias)
    sizes = [weight.size(0), *[heads] * len(rows)]
    values, *scores = torch.split(out, sizes, dim=1)
    return values.view(len(values), heads, weight.size(0) // heads), *scores
