"""Graphs on which every op is compared with an independent dense computation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from graphattn.ops import _native, use_implementation


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


@pytest.fixture(params=["reference", "cpu"])
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test with every implementation of the ops that this machine has."""
    if request.param == "cpu" and _native.why_missing() is not None:
        pytest.skip(f"the native library is {_native.why_missing()}")
    with use_implementation(request.param):
        yield request.param


@pytest.fixture(params=["reference", "cpu", "scatter"])
def reduction(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same for segment reductions, which torch-scatter has as well."""
    if request.param == "scatter":
        pytest.importorskip("torch_scatter", reason="torch-scatter is not installed")
    if request.param == "cpu" and _native.why_missing() is not None:
        pytest.skip(f"the native library is {_native.why_missing()}")
    with use_implementation(request.param):
        yield request.param
