"""PyG's linear map, for sparse features too."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import linear
from torch.nn.modules import module
from torch_geometric import nn as pyg

from graphattn.ops import sparse_linear, split_linear

__all__ = ["Linear", "is_plain", "map_together"]


class Linear(pyg.Linear):
    """:class:`torch_geometric.nn.Linear` that also takes ``torch.sparse_csr`` features.

    Parameters, initialisation and lazy sizes (``in_channels=-1``) are PyG's.

    Example:
        >>> Linear(3, 2)(torch.eye(3).to_sparse_csr()).shape
        torch.Size([3, 2])
    """

    @overload
    def forward(self, x: Tensor) -> Tensor: ...

    @overload
    def forward(
        self, x: Tensor, scorers: Tensor, *, features: bool = ...
    ) -> tuple[Tensor, ...]: ...

    def forward(
        self, x: Tensor, scorers: Tensor | None = None, *, features: bool = True
    ) -> Tensor | tuple[Tensor, ...]:
        r"""Map ``x`` of shape ``[N, in_channels]`` to ``[N, out_channels]``.

        With scorers :math:`\mathbf{a}_{s,h}`, the inner products
        :math:`\mathbf{a}_{s,h}^{\top} (\mathbf{W} \mathbf{x})_h` of the heads of the result come
        from the same product: :math:`\mathbf{W}_h^{\top} \mathbf{a}_{s,h}` are further rows of the
        weight.

        Args:
            x: Dense or ``torch.sparse_csr``.
            scorers: Shape ``[S, H, C]`` with ``H * C = out_channels``; the map has no bias then.
            features: Also return the map itself, if there are scorers.

        Returns:
            The map; with scorers a tuple of the map, if asked for, and ``S`` tensors of shape
            ``[N, H]``.

        Raises:
            ValueError: If the width of ``x`` differs from ``in_channels``, or there are scorers and
                a bias.
        """
        self.check_width(x)
        weight, sizes = self.weight, [self.out_channels]
        if scorers is not None:
            if self.bias is not None:
                raise ValueError("'scorers' were given, but the map has a bias")
            by_head = weight.view(*scorers.shape[1:], -1)
            rows = torch.einsum("shc,hcf->shf", scorers, by_head).flatten(0, 1)
            weight = torch.cat([weight, rows]) if features else rows
            sizes = sizes * features + [scorers.size(1)] * scorers.size(0)
        blocks = _product(x, weight, self.bias, sizes)
        return blocks[0] if scorers is None else blocks

    def check_width(self, x: Tensor) -> None:
        """Check that ``x`` has ``in_channels`` columns.

        Raises:
            ValueError: If it has not.
        """
        if x.size(-1) != self.in_channels:
            raise ValueError(
                f"'x' has {x.size(-1)} features per node, expected {self.in_channels} "
                "('in_channels')"
            )


def is_plain(*maps: Module) -> bool:
    """Whether maps are ours and without hooks, so that nobody but the caller sees their results.

    Args:
        *maps: The maps.
    """
    return not module._global_forward_hooks and all(
        isinstance(one, Linear) and not (one._forward_hooks or one._forward_pre_hooks)
        for one in maps
    )


def map_together(x: Tensor, *maps: Module) -> tuple[Tensor, ...]:
    """Apply several linear maps to one input, by a single product where that makes no difference.

    Hooks run, and other modules than ours are called, one by one.

    Args:
        x: Dense or ``torch.sparse_csr``. Shape ``[N, in_channels]``.
        *maps: The maps.

    Returns:
        What each of them gives, in their order.
    """
    biases = [one.bias for one in maps if isinstance(one, Linear) and one.bias is not None]
    if not is_plain(*maps) or len(biases) not in (0, len(maps)) or x.dim() != 2:
        return tuple(one(x) for one in maps)
    plain = [one for one in maps if isinstance(one, Linear)]
    for one in plain:
        one.check_width(x)
    weight = torch.cat([one.weight for one in plain])
    bias = torch.cat(biases) if biases else None
    return _product(x, weight, bias, [one.out_channels for one in plain])


def _product(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: list[int]
) -> tuple[Tensor, ...]:
    """A linear map in blocks of columns."""
    if x.layout == torch.sparse_csr:
        return torch.split(sparse_linear(x, weight, bias), sizes, dim=1)
    if x.dim() == 2:
        return split_linear(x, weight, bias, sizes=sizes)
    return torch.split(linear(x, weight, bias), sizes, dim=-1)
