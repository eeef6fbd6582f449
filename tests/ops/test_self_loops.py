from __future__ import annotations

from typing import Any

import torch

from graphattn.ops import append_self_loops
from graphattn.ops.self_loops import looped


def test_each_node_has_one_counted_loop(graph: Any) -> None:
    count = min(graph.num_src, graph.num_dst)
    edges, counted = append_self_loops(graph.edge_index, count)
    num_edges = graph.edge_index.size(1)
    assert torch.equal(edges[:, :num_edges], graph.edge_index)
    assert edges[:, num_edges:].tolist() == [list(range(count))] * 2
    is_loop = edges[0] == edges[1]
    loops = edges[0, is_loop & counted]
    assert torch.equal(loops.sort().values, torch.arange(count))
    assert counted[~is_loop].all()


def test_the_first_of_several_loops_counts() -> None:
    _, counted = append_self_loops(torch.tensor([[1, 1, 1, 0], [1, 0, 1, 1]]), 2)
    assert counted.tolist() == [True, True, False, True, True, False]


def test_nodes_without_a_loop_of_their_own() -> None:
    edges = torch.tensor([[2], [2]], dtype=torch.int32)
    appended, counted = append_self_loops(edges, 0)
    assert torch.equal(appended, edges)
    assert counted.tolist() == [True]
    appended, counted = append_self_loops(edges, 2)
    assert appended.dtype == torch.int32
    assert counted.tolist() == [True, True, True]


def test_places_are_those_in_rows_of_what_counts() -> None:
    edges = torch.tensor([[1, 2, 1, 1], [1, 0, 1, 0]])
    appended, counted, position = looped(edges, 2)
    assert appended.tolist() == [[1, 2, 1, 1, 0, 1], [1, 0, 1, 0, 0, 1]]
    assert counted.tolist() == [True, True, False, True, True, False]
    # Row 0: edges 1 and 3, then the loop; row 1: edge 0; then what does not count.
    assert position.tolist() == [3, 0, 4, 1, 2, 5]
    assert looped(edges, 2).position is position
