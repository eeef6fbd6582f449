"""Transforms that PyG does not have."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

__all__ = ["SparseFeatures"]


class SparseFeatures(BaseTransform):
    """Keep the node features as a sparse matrix, which pays for bags of words.

    ``x`` becomes a ``torch.sparse_csr`` matrix in ``float32``. The models of this library accept
    it and then drop out and multiply its non-zeros only; PyG's dense transforms (such as
    ``NormalizeFeatures``) must come before.

    Raises:
        ValueError: If the graph has no ``x``, or one that is not a matrix.

    Example:
        >>> SparseFeatures()(Data(x=torch.eye(3))).x.layout
        torch.sparse_csr
    """

    def forward(self, data: Data) -> Data:
        """Make ``x`` sparse; ``transform(data)`` calls it on a shallow copy.

        Args:
            data: A graph with dense (or sparse) ``x`` of shape ``[N, F]``.
        """
        x = data.x
        if not isinstance(x, Tensor) or x.dim() != 2:
            shape = tuple(x.shape) if isinstance(x, Tensor) else x
            raise ValueError(f"'x' must be a matrix of shape [N, F], got {shape}")
        with warnings.catch_warnings():
            # torch says once per process that its CSR layout is new; nothing follows from it.
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            data.x = x.to(torch.float32).to_sparse_csr()
        return data
