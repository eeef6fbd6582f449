from __future__ import annotations

import pytest
import torch

from graphattn.bench.graphs import CORA_SIZED, LARGE, Graph, with_self_loops


def test_sizes_order_and_degrees() -> None:
    edges = CORA_SIZED.edge_index()
    assert edges.shape == (2, 10_556)
    assert bool((edges[1].diff() >= 0).all())
    assert not bool((edges[0] == edges[1]).any())
    assert torch.bincount(edges[1]).max() > 5 * 10_556 / 2_708
    assert torch.equal(edges, CORA_SIZED.edge_index())
    assert str(CORA_SIZED) == "power-law graph, 2,708 nodes, 10,556 edges"


def test_scaled() -> None:
    small = LARGE.scaled(0.01)
    assert small.num_nodes == 1693
    assert small.num_edges / 1693 == pytest.approx(2_360_000 / 169_343, rel=1e-3)
    assert LARGE.scaled(1e-9).num_nodes == 256
    assert Graph(10, 20).scaled(0.1) == Graph(10, 20)
    with pytest.raises(ValueError, match="'scale' must be above 0, got 0"):
        LARGE.scaled(0)


def test_with_self_loops() -> None:
    looped = with_self_loops(torch.tensor([[1, 2], [0, 2]]), 3)
    assert looped.tolist() == [[1, 0, 1, 2, 2], [0, 0, 1, 2, 2]]
