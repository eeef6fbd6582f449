"""PyG's linear map, for sparse features too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric import nn as pyg

from graphattn.ops import sparse_linear

__all__ = ["Linear"]


class Linear(pyg.Linear):
    """:class:`torch_geometric.nn.Linear` that also takes ``torch.sparse_csr`` features.

    Parameters, initialisation and lazy sizes (``in_channels=-1``) are PyG's.

    Example:
        >>> Linear(3, 2)(torch.eye(3).to_sparse_csr()).shape
        torch.Size([3, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` of shape ``[N, in_channels]`` to ``[N, out_channels]``.

        Raises:
            ValueError: If the width of ``x`` differs from ``in_channels``.
        """
        if x.size(-1) != self.in_channels:
            raise ValueError(
                f"'x' has {x.size(-1)} features per node, expected {self.in_channels} "
                "('in_channels')"
            )
        if x.layout == torch.sparse_csr:
            return sparse_linear(x, self.weight, self.bias)
        out: Tensor = super().forward(x)
        return out
