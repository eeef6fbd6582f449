"""Reading ``.npz`` files with a sparse adjacency and sparse features, without a dense copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch_geometric.data import Data
from torch_geometric.utils import remove_self_loops, to_undirected

from graphattn.data.transforms import csr

__all__ = ["read_attributed"]


def read_attributed(path: Path) -> Data:
    """Read one file of Bojchevski and Günnemann's format, as ``CitationFull`` and others have it.

    As PyG's reader does, positive features become 1, self-loops are dropped and every edge gets
    its reverse; but features stay sparse.

    Args:
        path: The file. Objects in it are refused.

    Returns:
        A graph with ``x`` (``torch.sparse_csr``), ``edge_index`` and ``y``.
    """
    with np.load(path) as arrays:
        x = _matrix(arrays, "attr")
        adjacency = _matrix(arrays, "adj").tocoo()
        y = torch.from_numpy(arrays["labels"]).to(torch.int64)
    x.sum_duplicates()
    x.eliminate_zeros()
    values = torch.from_numpy(x.data).to(torch.float32)
    edge_index = torch.from_numpy(np.stack([adjacency.row, adjacency.col]).astype(np.int64))
    edge_index, _ = remove_self_loops(edge_index)
    features = csr(
        torch.from_numpy(x.indptr.astype(np.int64)),
        torch.from_numpy(x.indices.astype(np.int64)),
        values.masked_fill(values > 0, 1.0),
        x.shape,
    )
    return Data(x=features, edge_index=to_undirected(edge_index, num_nodes=x.shape[0]), y=y)


def _matrix(arrays: Any, name: str) -> Any:
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return scipy.sparse.csr_matrix(parts, shape=arrays[f"{name}_shape"])
