from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.utils import homophily

from graphattn.data import check_data, csbm


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize("degree_law", ["poisson", "power"])
@pytest.mark.parametrize("wanted", [0.0, 0.3, 1.0])
def test_edges_are_as_asked(undirected: bool, degree_law: Any, wanted: float) -> None:
    data = csbm(
        3000,
        num_classes=5,
        average_degree=12,
        homophily=wanted,
        degree_law=degree_law,
        undirected=undirected,
    )
    assert data.num_edges == 36000
    assert abs(homophily(data.edge_index, data.y) - wanted) < 1e-4
    assert data.is_coalesced()
    assert not data.has_self_loops()
    assert data.is_undirected() == undirected
    assert data.y.bincount().tolist() == [600] * 5
    check_data(data)


def test_poisson_degrees_have_a_variance_equal_to_the_mean() -> None:
    degree = csbm(20000, average_degree=15).edge_index[0].bincount(minlength=20000).double()
    assert degree.mean() == 15
    assert 13.5 < degree.var() < 16.5


def test_power_law_degrees_have_the_tail_asked_for() -> None:
    exponent = 2.5
    data = csbm(100_000, average_degree=10, degree_law="power", exponent=exponent)
    degree = data.edge_index[0].bincount(minlength=100_000).double()
    # Hill's estimator over the tail, below the cut-off.
    tail = degree[(degree >= 40) & (degree <= 400)]
    share = [(degree >= t).double().mean().item() for t in (40, 80, 160, 320)]
    slopes = np.diff(np.log(share)) / np.log(2)
    assert len(tail) > 1000
    assert abs(slopes.mean() + exponent - 1) < 0.25
    assert degree.max() > 50 * degree.median()


def test_features_carry_the_signal_asked_for() -> None:
    data = csbm(40000, num_classes=3, num_features=8, signal=2.0)
    centres = torch.stack([data.x[data.y == c].mean(dim=0) for c in range(3)])
    assert torch.allclose(centres.norm(dim=1), torch.full((3,), 2.0), atol=0.05)
    assert torch.allclose((data.x - centres[data.y]).std(dim=0), torch.ones(8), atol=0.03)
    assert csbm(4000, signal=0.0).x.mean(dim=0).abs().max() < 0.1


def test_labels_do_not_follow_the_node_numbers() -> None:
    data = csbm(10000, num_classes=2)
    assert abs(data.y[:5000].double().mean() - 0.5) < 0.05


def test_masks_divide_the_nodes() -> None:
    data = csbm(1000)
    sizes = [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")]
    assert sizes == [500, 250, 250]


def test_equal_arguments_give_equal_graphs() -> None:
    one, two, other = csbm(500, seed=3), csbm(500, seed=3), csbm(500, seed=4)
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.edge_index, two.edge_index)
    assert torch.equal(one.train_mask, two.train_mask)
    assert not torch.equal(one.edge_index, other.edge_index)


def test_small_and_empty() -> None:
    assert csbm(4, average_degree=0).edge_index.shape == (2, 0)
    full = csbm(6, num_classes=1, average_degree=5, homophily=1.0)
    assert full.num_edges == 30


def test_a_million_edges_take_about_a_second() -> None:
    start = time.process_time()
    data = csbm(100_000, average_degree=20, degree_law="power")
    assert data.num_edges == 2_000_000
    assert time.process_time() - start < 5  # 0.6 s where this was written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_nodes": 3}, "'num_nodes' must be at least 4 .* got 3"),
        ({"num_classes": 0}, "'num_classes' must be at least 1, got 0"),
        ({"num_classes": 200}, r"at least 'num_classes' \(200\), got 100"),
        ({"average_degree": -1.0}, "'average_degree' must not be negative, got -1.0"),
        ({"average_degree": float("nan")}, "'average_degree' must not be negative, got nan"),
        ({"homophily": 1.5}, r"'homophily' must be in \[0, 1\], .* got 1.5"),
        ({"num_classes": 1, "homophily": 0.5}, "and 1 for a single class, got 0.5"),
        ({"degree_law": "zipf"}, "'degree_law' must be 'poisson' or 'power', got 'zipf'"),
        ({"exponent": 2.0}, "'exponent' must be above 2, got 2.0"),
        ({"signal": -1.0}, "'signal' must not be negative, got -1.0"),
        ({"average_degree": 99.0}, "'average_degree' asks for 3960 edges within classes"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        csbm(**{"num_nodes": 100, **arguments})
