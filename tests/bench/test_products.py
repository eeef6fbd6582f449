from __future__ import annotations

import torch

from graphattn.bench import BY_NAME_ONLY, GROUPS, Settings
from graphattn.bench.products import EDGES, FEATURES, NODES, lineup, power_law_edges


def test_edges_go_both_ways_and_follow_a_power_law() -> None:
    edges = power_law_edges(1000, 20_000)
    assert edges.shape == (2, 20_000)
    assert edges.dtype == torch.int32
    assert torch.equal(edges[:, :10_000], edges[:, 10_000:].flip(0))
    degree = torch.bincount(edges[1], minlength=1000)
    assert degree.max() > 10 * degree.float().mean()
    assert degree.min() > 0
    assert torch.equal(edges, power_law_edges(1000, 20_000))


def test_the_size_is_that_of_ogbn_products() -> None:
    assert (NODES, EDGES, FEATURES) == (2_450_000, 126_000_000, 100)
    assert "products" in BY_NAME_ONLY
    assert [figure.must for figure in GROUPS["products"][0].goals] == [60, 12]


def test_a_step_learns() -> None:
    (ours,) = lineup(Settings(scale=0.0002)).contenders
    losses = []
    for _ in range(5):
        loss = ours.forward()
        ours.backward(loss)
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert ours.edges == 25_200
    usage = ours.memory()
    assert usage is None or usage.peak >= usage.held > 0
