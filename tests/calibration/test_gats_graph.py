from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphattn.calibration import gats_graph
from graphattn.calibration.gats_graph import EdgesInto, NodesOf

# 0 -> 1 -> 2 -> 3 and back from 3 to 2; 1 -> 1 is a loop, 2 -> 3 is there twice; 4 is alone.
EDGES = torch.tensor([[0, 1, 2, 2, 3, 1], [1, 2, 3, 3, 2, 1]])
TRAIN = torch.tensor([True, False, False, False, False])


@pytest.fixture
def logits() -> Tensor:
    return torch.tensor(
        [[3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 4.0, 1.0], [-1.0, 0.0, 1.0], [2.0, 0, 0]]
    )


def test_what_is_read_for_nodes(logits: Tensor) -> None:
    nodes = NodesOf.read(logits, EDGES, TRAIN)
    assert nodes.distance.tolist() == [0, 1, 2, 2, 2]
    assert nodes.is_at.argmax(dim=1).tolist() == [0, 1, 2, 2, 2]
    right = torch.tensor([[0, 0.5, 1], [0, 0, 0], [0, 0.25, 1], [0, 0.5, 1], [0, 0, 1]])
    torch.testing.assert_close(nodes.spread, right)
    c = logits.softmax(dim=1).amax(dim=1)
    # Edges that leave, one loop each: 2, 2, 3, 2, 1.
    right = torch.stack(
        [0 * c[0], (c[1] - c[0]) / 2, (2 * c[2] - c[1] - c[3]) / 3, c[3] - c[2], 0 * c[4]]
    )
    torch.testing.assert_close(nodes.relative, right)


def pairs(edges: EdgesInto) -> list[tuple[int, int]]:
    return [(int(j), int(i)) for j, i in edges.edge_index.t()]


def test_edges_into_some_nodes(logits: Tensor) -> None:
    nodes = NodesOf.read(logits, EDGES, TRAIN)
    (edges,) = nodes.edges_into(torch.tensor([False, True, False, True, True]))
    assert sorted(pairs(edges)) == [(0, 1), (1, 1), (2, 3), (2, 3), (3, 3), (4, 4)]
    # By distances of both ends: 0 -> 1, 1 -> 1, and four times 2 -> 2 with ascending destinations.
    assert edges.ends == [0, 1, 1, 1, 2, 2, 2, 2, 6]
    assert pairs(edges)[:2] == [(0, 1), (1, 1)]
    assert edges.edge_index[1, 2:].tolist() == [3, 3, 3, 4]
    src, dst = edges.edge_index
    torch.testing.assert_close(edges.dots, (logits[src] * logits[dst]).sum(dim=1))
    gamma = torch.tensor([0.5, -2.0, 1.0])
    by_node = gamma[nodes.distance]
    right = leaky_relu(edges.dots / (by_node[src] * by_node[dst]), 0.2)
    torch.testing.assert_close(edges.scores(gamma).squeeze(1), right)
    assert list(nodes.edges_into(torch.zeros(5, dtype=torch.bool))) == []


@pytest.mark.parametrize("name", ["MOST_EDGES", "BLOCK"])
def test_large_graphs_come_in_parts(
    logits: Tensor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = torch.ones(5, dtype=torch.bool)
    whole = NodesOf.read(logits, EDGES, TRAIN)
    (right,) = whole.edges_into(every)
    monkeypatch.setattr(gats_graph, name, 3)
    nodes = NodesOf.read(logits, EDGES, TRAIN)
    torch.testing.assert_close(nodes.relative, whole.relative)
    assert torch.equal(nodes.distance, whole.distance)
    parts = list(nodes.edges_into(every))
    assert len(parts) == (4 if name == "MOST_EDGES" else 1)
    assert sorted(pair for part in parts for pair in pairs(part)) == sorted(pairs(right))
    # All edges into a node are in one part.
    reached = [part.edge_index[1].unique() for part in parts]
    assert torch.equal(torch.cat(reached).sort().values, torch.arange(5))
