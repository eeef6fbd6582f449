from __future__ import annotations

import logging

import pytest
import torch
from torch_geometric import transforms
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from graphattn.data import NormalizeFeatures, SparseFeatures
from graphattn.data.transforms import csr


@pytest.mark.parametrize("layout", [torch.strided, torch.sparse_coo, torch.sparse_csr])
def test_features_become_csr(layout: torch.layout) -> None:
    x = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
    given = x.to_sparse(layout=layout) if layout != torch.strided else x
    data = Data(x=given, y=torch.arange(3))
    out = SparseFeatures(max_density=0.5)(data)
    assert out.x.layout == torch.sparse_csr
    assert out.x.values().numel() == 3
    assert torch.equal(out.x.to_dense(), x)
    assert out.y is data.y
    assert data.x is given
    assert (out.num_nodes, out.num_features) == (3, 3)


def test_features_become_float32() -> None:
    assert SparseFeatures()(Data(x=torch.eye(20, dtype=torch.float64))).x.dtype == torch.float32
    assert SparseFeatures()(Data(x=torch.eye(20, dtype=torch.int64))).x.dtype == torch.float32


def test_after_a_dense_transform() -> None:
    out = Compose([transforms.NormalizeFeatures(), SparseFeatures(1)])(
        Data(x=torch.tensor([[0.0, 1.0, 3.0]]))
    )
    assert out.x.to_dense().tolist() == [[0.0, 0.25, 0.75]]


@pytest.mark.parametrize(("x", "got"), [(None, "None"), (torch.ones(3), r"\(3,\)")])
def test_features_must_be_a_matrix(x: torch.Tensor | None, got: str) -> None:
    with pytest.raises(ValueError, match=rf"'x' must be a matrix of shape \[N, F\], got {got}"):
        SparseFeatures()(Data(x=x))


def test_without_rows() -> None:
    assert SparseFeatures()(Data(x=torch.ones(0, 5))).x.shape == (0, 5)


@pytest.mark.parametrize("layout", [torch.strided, torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize(
    ("kept", "sparse"), [(10, True), (11, False), (0, True)], ids=["at", "above", "none"]
)
def test_form_is_chosen_by_density(
    layout: torch.layout, kept: int, sparse: bool, caplog: pytest.LogCaptureFixture
) -> None:
    x = torch.zeros(10, 10)
    x.view(-1)[:kept] = 1.0
    given = x.to_sparse(layout=layout) if layout != torch.strided else x
    with caplog.at_level(logging.INFO, logger="graphattn"):
        out = SparseFeatures()(Data(x=given)).x
    assert out.layout == (torch.sparse_csr if sparse else torch.strided)
    assert torch.equal(out.to_dense(), x)
    (line,) = caplog.messages
    assert line == (
        f"features are {'a sparse matrix' if sparse else 'dense'}: {kept}.0 % are not zero, and a "
        "sparse matrix pays up to 10.0 %"
    )


def test_zeros_that_are_stored_do_not_count() -> None:
    x = csr(torch.tensor([0, 3]), torch.arange(3), torch.tensor([0.0, 0.0, 1.0]), (1, 10))
    assert SparseFeatures(0.1)(Data(x=x)).x.layout == torch.sparse_csr


@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan")])
def test_density_is_a_share(density: float) -> None:
    with pytest.raises(ValueError, match=r"'max_density' must lie in \[0, 1\], got"):
        SparseFeatures(density)


@pytest.mark.parametrize("layout", [torch.strided, torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize("negative", [False, True])
def test_normalized_as_by_pyg(layout: torch.layout, negative: bool) -> None:
    x = torch.rand(30, 20) * (torch.rand(30, 20) < 0.2)
    x[3] = 0
    x[4] *= 0.01
    x[5, 5] = -1.0 if negative else 2.0
    expected = transforms.NormalizeFeatures()(Data(x=x.clone())).x
    given = x.to_sparse(layout=layout) if layout != torch.strided else x
    data = Data(x=given)
    out = NormalizeFeatures()(data).x
    dense = negative or layout == torch.strided
    assert out.layout == (torch.strided if dense else torch.sparse_csr)
    assert torch.allclose(out.to_dense(), expected, rtol=1e-6, atol=1e-7)
    if layout != torch.strided:
        assert torch.equal(data.x.to_dense(), x)


def test_bags_of_words_are_normalized_to_the_bit() -> None:
    x = (torch.rand(200, 300) < 0.05).float()
    expected = transforms.NormalizeFeatures()(Data(x=x.clone())).x
    assert torch.equal(NormalizeFeatures()(Data(x=x.to_sparse_csr())).x.to_dense(), expected)


def test_parts_of_a_matrix_must_fit() -> None:
    with pytest.raises(RuntimeError):
        csr(torch.tensor([0, 1]), torch.tensor([9]), torch.ones(1), (1, 3))
