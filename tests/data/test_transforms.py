from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import Compose, NormalizeFeatures

from graphattn.data import SparseFeatures


@pytest.mark.parametrize("layout", [torch.strided, torch.sparse_coo, torch.sparse_csr])
def test_features_become_csr(layout: torch.layout) -> None:
    x = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
    given = x.to_sparse(layout=layout) if layout != torch.strided else x
    data = Data(x=given, y=torch.arange(3))
    out = SparseFeatures()(data)
    assert out.x.layout == torch.sparse_csr
    assert out.x.values().numel() == 3
    assert torch.equal(out.x.to_dense(), x)
    assert out.y is data.y
    assert data.x is given
    assert (out.num_nodes, out.num_features) == (3, 3)


def test_features_become_float32() -> None:
    assert SparseFeatures()(Data(x=torch.eye(2, dtype=torch.float64))).x.dtype == torch.float32
    assert SparseFeatures()(Data(x=torch.eye(2, dtype=torch.int64))).x.dtype == torch.float32


def test_after_a_dense_transform() -> None:
    out = Compose([NormalizeFeatures(), SparseFeatures()])(Data(x=torch.tensor([[0.0, 1.0, 3.0]])))
    assert out.x.to_dense().tolist() == [[0.0, 0.25, 0.75]]


@pytest.mark.parametrize(("x", "got"), [(None, "None"), (torch.ones(3), r"\(3,\)")])
def test_features_must_be_a_matrix(x: torch.Tensor | None, got: str) -> None:
    with pytest.raises(ValueError, match=rf"'x' must be a matrix of shape \[N, F\], got {got}"):
        SparseFeatures()(Data(x=x))


def test_without_rows() -> None:
    assert SparseFeatures()(Data(x=torch.ones(0, 5))).x.shape == (0, 5)
