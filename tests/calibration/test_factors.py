from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

from graphattn.calibration import (
    distance_to_training,
    diversity,
    hops_to,
    neighbor_similarity,
    relative_confidence,
    under_confidence,
)


def sample(seed: int = 0, n: int = 80, C: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Probabilities, classes, a messy directed graph with isolated nodes, and a mask."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(n, C, generator=generator, dtype=torch.float64).softmax(1)
    y = torch.multinomial(p, 1, generator=generator).squeeze(1)
    edges = torch.randint(n - 9, (2, 2 * n), generator=generator)
    edges = torch.cat([edges, edges[:, :20], torch.arange(n).repeat(2, 1)], dim=1)
    return p, y, edges, torch.rand(n, generator=generator) < 0.7


def neighbours(edges: Tensor, n: int) -> list[set[int]]:
    """Sources of the edges to every node, without itself."""
    found: list[set[int]] = [set() for _ in range(n)]
    for src, dst in edges.T.tolist():
        if src != dst:
            found[dst].add(src)
    return found


def test_under_confidence() -> None:
    p, y, _, mask = sample()
    frame = under_confidence(p, y, mask=mask)
    right = (p.argmax(1) == y)[mask].double().mean()
    assert frame["accuracy"][0] == pytest.approx(float(right))
    assert frame["gap"][0] == pytest.approx(float(right - p[mask].amax(1).mean()))
    assert frame["count"][0] == int(mask.sum())


def test_diversity_against_scipy_and_numpy() -> None:
    p, y, _, mask = sample()
    frame = diversity(p, y, mask=mask, num_bins=8)
    values = {
        "confidence": p[mask].amax(1).numpy(),
        "entropy": entropy(p[mask], axis=1) / np.log(3),
    }
    right = (p.argmax(1) == y)[mask].numpy()
    for quantity, part in frame.groupby("quantity"):
        value = values[str(quantity)]
        counts, borders = np.histogram(value, bins=8, range=(0, 1))
        assert part["count"].tolist() == counts.tolist()
        np.testing.assert_allclose(part["lower"], borders[:-1])
        expected = np.histogram(value[right], bins=8, range=(0, 1))[0]
        assert part["correct"].tolist() == expected.tolist()
        np.testing.assert_allclose(part["mean"], value.mean())
        np.testing.assert_allclose(part["std"], value.std())
        assert part["share"].sum() == pytest.approx(1)


def test_sure_and_unsure_to_the_end() -> None:
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    frame = diversity(p, torch.tensor([0, 1]), num_bins=2)
    assert frame["count"].tolist() == [0, 2, 1, 1]


@pytest.mark.parametrize("seed", [0, 1])
def test_hops_against_networkx(seed: int) -> None:
    _, _, edges, _ = sample(seed)
    start = torch.zeros(80).bool()
    start[[3, 40, 79]] = True
    graph = nx.DiGraph(edges.T.tolist())
    graph.add_nodes_from(range(80))
    expected = nx.multi_source_dijkstra_path_length(graph, {3, 40, 79})
    found = hops_to(edges, start)
    assert found.dtype == torch.int64
    assert found.tolist() == [expected.get(node, -1) for node in range(80)]


def test_hops_follow_edges_and_need_a_start() -> None:
    back = torch.tensor([[1, 2], [0, 1]])
    assert hops_to(back, torch.tensor([True, False, False])).tolist() == [0, -1, -1]
    assert hops_to(back[:, :0], torch.tensor([True, False, False])).tolist() == [0, -1, -1]
    with pytest.raises(ValueError, match="'mask' must have at least one node"):
        hops_to(back, torch.zeros(3).bool())
    with pytest.raises(TypeError, match="'mask' must be a tensor of bool"):
        hops_to(back, torch.zeros(3))
    with pytest.raises(ValueError, match="2"):
        hops_to(back, torch.tensor([True, False]))


def test_distance_to_training() -> None:
    p, y, edges, mask = sample()
    train = torch.zeros(80).bool()
    train[:4] = True
    frame = distance_to_training(p, y, edges, train, mask=mask).set_index("group")
    hops = hops_to(edges, train)
    groups = {"0": hops == 0, "1": hops == 1, "2": hops == 2, "3+": hops > 2}
    for name, part in {**groups, "unreachable": hops < 0}.items():
        nodes = part & mask
        assert frame["count"][name] == int(nodes.sum()) > 0
        assert frame["confidence"][name] == pytest.approx(float(p[nodes].amax(1).mean()))
        expected = float((p.argmax(1) == y)[nodes].double().mean())
        assert frame["accuracy"][name] == pytest.approx(expected)


def test_distance_needs_training_nodes() -> None:
    p, y, edges, mask = sample()
    with pytest.raises(ValueError, match="'train_mask' must have at least one node, got none"):
        distance_to_training(p, y, edges, mask & ~mask)
    with pytest.raises(ValueError, match=r"'train_mask' must have shape \[80\], got \[3\]"):
        distance_to_training(p, y, edges, mask[:3])
    # No node of some distances: rows stay, with NaN.
    frame = distance_to_training(p, y, edges, torch.ones(80).bool())
    assert frame["count"].tolist() == [80, 0, 0, 0, 0]
    assert frame["gap"][1:].isna().all()


@pytest.mark.parametrize("factor", [relative_confidence, neighbor_similarity])
def test_neighbours_node_by_node(factor: object) -> None:
    p, y, edges, mask = sample()
    frame = factor(p, y, edges, mask=mask, num_bins=6)
    confidence, predicted = p.amax(1), p.argmax(1)
    lowest = -1.0 if factor is relative_confidence else 0.0
    rows: list[list[int]] = [[] for _ in range(7)]
    values: dict[int, float] = {}
    for node, around in enumerate(neighbours(edges, 80)):
        if not mask[node]:
            continue
        if not around:
            rows[6].append(node)
            continue
        if factor is relative_confidence:
            values[node] = float(confidence[node] - confidence[list(around)].mean())
        else:
            values[node] = float((predicted[list(around)] == predicted[node]).double().mean())
        rows[min(int((values[node] - lowest) / (1 - lowest) * 6 + 1e-12), 5)].append(node)
    assert frame["count"].tolist() == [len(row) for row in rows]
    assert frame["count"].sum() == int(mask.sum())
    assert frame["group"].iloc[-1] == "no neighbours"
    assert frame["count"].iloc[-1] > 0
    assert frame[["lower", "upper", "value"]].iloc[-1].isna().all()
    for number, row in enumerate(rows[:6]):
        if row:
            assert frame["value"][number] == pytest.approx(np.mean([values[node] for node in row]))
            assert frame["confidence"][number] == pytest.approx(float(confidence[row].mean()))
            right = float((predicted == y)[row].double().mean())
            assert frame["gap"][number] == pytest.approx(right - float(confidence[row].mean()))


@pytest.mark.parametrize("factor", [relative_confidence, neighbor_similarity])
def test_neighbours_outside_the_mask_must_have_probabilities(factor: object) -> None:
    p, y, edges, mask = sample()
    p[(~mask).nonzero()[0]] = torch.nan
    with pytest.raises(ValueError, match="'probabilities' must be non-negative"):
        factor(p, y, edges, mask=mask)


@pytest.mark.parametrize("factor", [relative_confidence, neighbor_similarity])
def test_graph_without_edges(factor: object) -> None:
    p, y, edges, _ = sample()
    frame = factor(p, y, edges[:, :0])
    assert frame["count"].iloc[:-1].sum() == 0
    assert frame["count"].iloc[-1] == 80
    with pytest.raises(ValueError, match="'num_bins' must be at least 2, got 1"):
        factor(p, y, edges, num_bins=1)
