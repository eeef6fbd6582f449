from __future__ import annotations

import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from graphattn.calibration.conformal import knn, knn_graph


def test_against_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "_BLOCK_ENTRIES", 70)  # blocks of two nodes, and a last one of one
    x = torch.randn(31, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[7] = 0
    similarity = torch.from_numpy(cosine_similarity(x.numpy())).fill_diagonal_(0)
    least = similarity.topk(5, dim=1).values[:, -1:]
    expected = torch.where((similarity >= least) & (similarity > 0), similarity, 0)
    for features in (x, x.to_sparse(), x.to_sparse_csr()):
        edges, weight = knn_graph(features, k=5)
        found = torch.sparse_coo_tensor(edges, weight, (31, 31)).to_dense()
        torch.testing.assert_close(found, expected)
        assert (weight > 0).all()
    assert not (edges == 7).any()


def test_few_nodes() -> None:
    for num_nodes in (0, 1):
        edges, weight = knn_graph(torch.ones(num_nodes, 3))
        assert edges.shape == (2, 0)
        assert weight.shape == (0,)
    edges, _ = knn_graph(torch.ones(3, 2), k=20)
    assert edges.size(1) == 6


def test_half_precision() -> None:
    _, weight = knn_graph(torch.eye(3).half() + 0.5)
    assert weight.dtype == torch.float32


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'x' must be finite"):
        knn_graph(torch.tensor([[float("nan"), 1.0]]))
    with pytest.raises(TypeError, match=r"'x' must be a floating-point tensor, got torch.int64"):
        knn_graph(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, F\], got \[3\]"):
        knn_graph(torch.ones(3))
    with pytest.raises(ValueError, match="'k' must be at least 1, got 0"):
        knn_graph(torch.ones(3, 2), k=0)
