"""Transforms that PyG does not have, or not for sparse features."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric import transforms
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

__all__ = ["NormalizeFeatures", "SparseFeatures", "csr", "to_csr"]

logger = logging.getLogger("graphattn")


class SparseFeatures(BaseTransform):
    """Keep the node features as a sparse matrix where that pays, as it does for bags of words.

    ``x`` becomes a ``torch.sparse_csr`` matrix in ``float32`` if at most ``max_density`` of its
    entries are not zero, and a dense one otherwise; one line in the log (``graphattn``) says which.
    The models of this library accept a sparse one and then drop out and multiply its non-zeros
    only; in a model of your own, use ``graphattn.nn.Dropout`` before the first layer of
    ``graphattn.nn``, which take both. PyG's dense transforms must come before;
    :class:`NormalizeFeatures` takes both.

    Args:
        max_density: Largest share of non-zeros that is kept sparse, in [0, 1]. An entry of a sparse
            matrix takes three times the memory of a dense one, and four times for the transpose
            that training keeps; at the default both together are smaller than the dense matrix.

    Raises:
        ValueError: If the graph has no ``x``, or one that is not a matrix, or ``max_density`` is
            out of range.

    Example:
        >>> SparseFeatures()(Data(x=torch.eye(20))).x.layout
        torch.sparse_csr
    """

    def __init__(self, max_density: float = 0.1) -> None:
        if not 0 <= max_density <= 1:
            raise ValueError(f"'max_density' must lie in [0, 1], got {max_density!r}")
        self.max_density = max_density

    def forward(self, data: Data) -> Data:
        """Choose the form of ``x``; ``transform(data)`` calls it on a shallow copy.

        Args:
            data: A graph with dense (or sparse) ``x`` of shape ``[N, F]``.
        """
        x = data.x
        if not isinstance(x, Tensor) or x.dim() != 2:
            shape = tuple(x.shape) if isinstance(x, Tensor) else x
            raise ValueError(f"'x' must be a matrix of shape [N, F], got {shape}")
        dense = x.layout == torch.strided
        if not dense:
            x = to_csr(x)
        count = int(x.count_nonzero()) if dense else int(x.values().count_nonzero())
        density = count / max(1, x.numel())
        sparse = density <= self.max_density
        logger.info(
            "features are %s: %.1f %% are not zero, and a sparse matrix pays up to %.1f %%",
            "a sparse matrix" if sparse else "dense",
            100 * density,
            100 * self.max_density,
        )
        if sparse:
            data.x = to_csr(x.to(torch.float32))
        else:
            data.x = (x if dense else x.to_dense()).to(torch.float32)
        return data


class NormalizeFeatures(BaseTransform):
    """Scale the features of each node to sum to one, as PyG's transform of that name does.

    As there, the least value of ``x`` is subtracted first, and sums below one are left as they are.
    Sparse features stay sparse, unless they have negative values: then the subtraction fills up all
    zeros, and they become dense.

    Example:
        >>> NormalizeFeatures()(Data(x=torch.tensor([[1.0, 3.0], [0.0, 0.0]]))).x
        tensor([[0.2500, 0.7500],
                [0.0000, 0.0000]])
    """

    def forward(self, data: Data) -> Data:
        """Normalise ``x``; ``transform(data)`` calls it on a shallow copy.

        Args:
            data: A graph with dense (or sparse) ``x`` of shape ``[N, F]``.
        """
        x = data.x
        if isinstance(x, Tensor) and x.layout != torch.strided:
            x = to_csr(x)
            if x.values().numel() and float(x.values().min()) < 0:
                data.x = x = x.to_dense()
        if x is None or x.layout == torch.strided:
            dense: Data = transforms.NormalizeFeatures()(data)
            return dense
        values, sizes = x.values(), x.crow_indices().diff()
        row = torch.arange(x.size(0), device=sizes.device).repeat_interleave(sizes)
        total = values.new_zeros(x.size(0)).index_add_(0, row, values).clamp_(min=1.0)
        data.x = csr(x.crow_indices(), x.col_indices(), values / total[row], x.shape)
        return data


def to_csr(x: Tensor) -> Tensor:
    """A matrix in ``torch.sparse_csr`` layout.

    Args:
        x: Matrix of any layout, shape ``[N, F]``.
    """
    with warnings.catch_warnings():
        # torch says once per process that its CSR layout is new; nothing follows from it.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return x if x.layout == torch.sparse_csr else x.to_sparse_csr()


def csr(crow: Tensor, col: Tensor, values: Tensor, size: Sequence[int]) -> Tensor:
    """A ``torch.sparse_csr`` matrix of its parts, which are checked.

    Args:
        crow: Where each row begins, shape ``[N + 1]``.
        col: Column of each value, shape ``[K]``.
        values: Shape ``[K]``.
        size: Its shape, ``[N, F]``.

    Raises:
        RuntimeError: If the parts do not fit.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(crow, col, values, size=tuple(size), check_invariants=True)
