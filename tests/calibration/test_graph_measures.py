from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from graphattn.calibration import (
    degree_binned_gap,
    edge_calibration_error,
    expected_calibration_error,
    group_calibration_error,
)


def sample(seed: int = 0, n: int = 90, C: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Probabilities, classes, a messy directed graph, and a mask."""
    generator = torch.Generator().manual_seed(seed)
    p = (2 * torch.randn(n, C, generator=generator, dtype=torch.float64)).softmax(1)
    y = torch.multinomial(p, 1, generator=generator).squeeze(1)
    edges = torch.randint(n - 5, (2, 4 * n), generator=generator)
    edges = torch.cat([edges, edges[:, :20], torch.arange(9).repeat(2, 1)], dim=1)
    return p, y, edges, torch.rand(n, generator=generator) < 0.7


def test_degree_binned_gap_by_hand() -> None:
    p, y, edges, mask = sample()
    degree = torch.bincount(edges[1], minlength=90)
    order = sorted(mask.nonzero().squeeze(1).tolist(), key=lambda i: (int(degree[i]), i))
    size = math.ceil(len(order) / 7)
    expected = 0.0
    for start in range(0, len(order), size):
        part = order[start : start + size]
        gap = p[part].amax(1).mean() - (p[part].argmax(1) == y[part]).double().mean()
        expected += len(part) / len(order) * abs(float(gap))
    found = degree_binned_gap(p, y, edges, mask=mask, num_bins=7)
    assert found == pytest.approx(expected, abs=1e-12)


def test_degree_binned_gap_is_blind_where_errors_cancel() -> None:
    # Of equal degree, half the nodes are too sure and half not sure enough.
    p = torch.tensor([[0.9, 0.1], [0.6, 0.4]]).repeat(50, 1)
    y = torch.tensor([[0, 0], [1, 0]]).repeat(25, 1).flatten()
    around = torch.stack([torch.arange(100), torch.arange(100).roll(1)])
    assert expected_calibration_error(p, y) == pytest.approx(0.4)
    assert degree_binned_gap(p, y, around, num_bins=5) < 0.03


def test_degree_binned_gap_without_edges() -> None:
    p, y, edges, _ = sample()
    empty = edges[:, :0]
    assert 0 <= degree_binned_gap(p, y, empty) <= 1
    with pytest.raises(ValueError, match="'num_bins' must be at least 2"):
        degree_binned_gap(p, y, empty, num_bins=1)


@pytest.mark.parametrize("pairs", ["all", "agree", "disagree"])
def test_edge_calibration_error_against_networkx_and_torchmetrics(pairs: str) -> None:
    p, y, edges, mask = sample()
    graph = nx.Graph(edges.T.tolist())
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    joined = torch.tensor([pair for pair in graph.edges if mask[list(pair)].all()])
    if pairs != "all":
        joined = joined[(y[joined[:, 0]] == y[joined[:, 1]]) == (pairs == "agree")]
    confidence = p.amax(1)[joined].prod(1)
    right = (p.argmax(1) == y)[joined].all(1)
    theirs = binary_calibration_error(confidence, right.long(), n_bins=15)
    ours = edge_calibration_error(p, y, edges, mask=mask, pairs=pairs)
    assert ours == pytest.approx(float(theirs), abs=1e-7)


def test_direction_and_duplicates_of_edges_do_not_matter() -> None:
    p, y, edges, _ = sample()
    both = torch.cat([edges, edges.flip(0)], dim=1)
    assert edge_calibration_error(p, y, both) == edge_calibration_error(p, y, edges)


def test_pairs_there_are_none_of() -> None:
    p, y, edges, mask = sample()
    with pytest.raises(ValueError, match=r"'edge_index' must join nodes .*'all'.* got no pair"):
        edge_calibration_error(p, y, edges[:, edges[0] == edges[1]])
    with pytest.raises(ValueError, match="'disagree'"):
        edge_calibration_error(p, torch.zeros_like(y), edges, mask=mask, pairs="disagree")
    with pytest.raises(ValueError, match="'pairs' must be one of 'all', 'agree', 'disagree'"):
        edge_calibration_error(p, y, edges, pairs="both")
    with pytest.raises(ValueError, match="'num_bins' must be at least 2"):
        edge_calibration_error(p, y, edges, 1)


def test_groups_are_measured_one_by_one() -> None:
    p, y, _, mask = sample()
    groups = torch.arange(90) % 4 - 1
    frame = group_calibration_error(p, y, groups, 10, mask=mask, closed="right", norm="l2")
    assert frame["group"].tolist() == [-1, 0, 1, 2]
    for row in frame.itertuples():
        part = mask & (groups == row.group)
        expected = expected_calibration_error(p, y, 10, mask=part, closed="right", norm="l2")
        assert row.ece == pytest.approx(expected, abs=1e-12)
        assert row.count == int(part.sum())
        assert row.confidence == pytest.approx(float(p[part].amax(1).mean()))
        assert row.gap == pytest.approx(row.accuracy - row.confidence)


def test_groups_without_nodes_have_no_row() -> None:
    p, y, _, _ = sample()
    frame = group_calibration_error(p, y, y, mask=y == 1)
    assert frame["group"].tolist() == [1]
    assert np.isfinite(frame.to_numpy(dtype=float)).all()


def test_bad_groups() -> None:
    p, y, _, _ = sample()
    with pytest.raises(TypeError, match=r"'groups' must be .* integers, got torch.float64"):
        group_calibration_error(p, y, p[:, 0])
    with pytest.raises(ValueError, match=r"'groups' must have shape \[90\], got \[3\]"):
        group_calibration_error(p, y, y[:3])
