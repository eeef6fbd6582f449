from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch_geometric.utils import to_dense_adj

from graphattn.calibration import WATSScaler
from graphattn.calibration.wats import wavelet_coefficients, wavelet_features

# A self-loop at 2, a parallel edge, node 3 with out-edges only, and node 4 on its own.
EDGES = torch.tensor([[0, 1, 1, 2, 3, 3], [1, 0, 0, 2, 0, 1]])


def test_coefficients_are_the_integrals() -> None:
    for s in (0.4, 1.2):
        found = wavelet_coefficients(3, s, "integral")
        for k, value in enumerate(found):

            def inside(t: float, k: int = k, s: float = s) -> float:
                return math.cos(k * t) * math.exp(-s * (math.cos(t) + 1))

            assert value == pytest.approx(2 / math.pi * quad(inside, 0, math.pi)[0], abs=1e-10)
        heat = wavelet_coefficients(3, s, "heat")
        assert heat == [found[0] / 2, *found[1:]]


def test_many_terms_are_the_heat_kernel() -> None:
    # Of a graph without directions, whose Laplacian has its eigenvalues in [0, 2].
    edges = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    adjacency = to_dense_adj(edges)[0].double().numpy()
    scale = np.diag(adjacency.sum(0) ** -0.5)
    values, vectors = np.linalg.eigh(np.eye(4) - scale @ adjacency @ scale)
    x = np.log1p(adjacency.sum(0) * 2)
    expected = vectors @ np.diag(np.exp(-0.7 * values)) @ vectors.T @ x
    coefficients = wavelet_coefficients(20, 0.7, "heat")
    rows = wavelet_features(edges, 4, coefficients, dtype=torch.float64)
    # Rows are divided by their norm; their first entry says by which.
    terms = rows / rows[:, :1] * (torch.from_numpy(x) * coefficients[0]).unsqueeze(1)
    np.testing.assert_allclose(terms.sum(dim=1), expected, atol=1e-10)


def test_features_of_an_odd_graph_by_matrices() -> None:
    adjacency = to_dense_adj(EDGES, max_num_nodes=5)[0].double()
    x = torch.log1p((adjacency.sum(0) + adjacency.sum(1)).clamp_min(1e-6))
    adjacency.fill_diagonal_(0)
    received = adjacency.sum(0)
    scale = received.clamp_min(1).rsqrt()
    moved = -scale[:, None] * adjacency * scale - torch.diag((received == 0).double())
    terms = torch.stack([x, moved @ x, 2 * moved @ (moved @ x) - x], dim=1)
    expected = terms * torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    expected = expected / expected.abs().sum(dim=1, keepdim=True)
    found = wavelet_features(EDGES, 5, [1.0, 0.5, 0.25], dtype=torch.float64)
    torch.testing.assert_close(found, expected)
    single = wavelet_features(EDGES, 5, [1.0, 0.5, 0.25], dtype=torch.float32)
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-6)


def test_no_nodes_and_no_polynomials() -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    assert wavelet_features(none, 0, [1.0, 0.5], dtype=torch.float32).shape == (0, 2)
    assert wavelet_features(none, 3, [1.0], dtype=torch.float32).tolist() == [[1.0]] * 3


def test_temperature_looks_at_the_graph_alone() -> None:
    scaler = WATSScaler().double()
    train_mask = torch.zeros(5, dtype=torch.bool)
    first, second = torch.randn(2, 5, 3, dtype=torch.float64)
    ratios = [(z / scaler(z, EDGES, train_mask)).detach() for z in (first, second)]
    torch.testing.assert_close(*ratios)
    assert bool((ratios[0] > 0).all())


def test_settings() -> None:
    with pytest.raises(ValueError, match="unknown kind of 'coefficients' 'heats'; did you mean"):
        WATSScaler(coefficients="heats")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'scale' must be finite and above 0, got 0"):
        WATSScaler(scale=0.0)
    with pytest.raises(ValueError, match="'order' must be at least 0, got -1"):
        WATSScaler(order=-1)
