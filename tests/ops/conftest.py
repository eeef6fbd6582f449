"""Graphs on which every op is compared with an independent dense computation."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor


class Graph(NamedTuple):
    edge_index: Tensor
    num_src: int
    num_dst: int


def _graph(pairs: list[tuple[int, int]], num_src: int, num_dst: int) -> Graph:
    edge_index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t().contiguous()
    return Graph(edge_index, num_src, num_dst)


GRAPHS = {
    "no nodes": _graph([], 0, 0),
    "no edges": _graph([], 3, 3),
    "one node": _graph([(0, 0)], 1, 1),
    "hub": _graph([(i, 0) for i in range(50)], 50, 50),
    "doubled, loops, unsorted": _graph(
        [(3, 0), (0, 1), (3, 0), (2, 2), (2, 2), (4, 1), (0, 0), (1, 4)], 6, 6
    ),
    "bipartite": _graph([(0, 3), (3, 0), (2, 2), (1, 3), (0, 0)], 4, 6),
}


@pytest.fixture(params=GRAPHS.values(), ids=GRAPHS.keys())
def graph(request: pytest.FixtureRequest) -> Graph:
    found: Graph = request.param
    return found
