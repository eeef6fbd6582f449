from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from graphattn.ops import _native, append_self_loops, build_csr, forget_graphs, graph
from graphattn.ops.graph import Graph, prepare

forms = pytest.mark.parametrize(
    "native",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(_native.why_missing() is not None, reason="not built")
        ),
    ],
)


def built(edges: Tensor, native: bool, loops: int = 0, nodes: int = 4, **options: bool) -> Graph:
    return prepare(
        edges, num_src=nodes, num_dst=nodes, num_self_loops=loops, native=native, **options
    )


@forms
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("loops", [0, 3])
def test_equals_the_rows_of_the_edges_that_count(
    native: bool, dtype: torch.dtype, flipped: bool, loops: int
) -> None:
    torch.manual_seed(0)
    edges = torch.randint(5, (40, 4), dtype=dtype)[:, ::2].t()  # strided
    found = built(edges, native, loops, nodes=5, flipped=flipped)
    appended, counted = append_self_loops(edges.flip(0) if flipped else edges, loops)
    rows = counted.nonzero().squeeze(1)
    expected = build_csr(appended[:, rows], num_src=5, num_dst=5)
    assert found.num_rows == 40 + loops
    for one, other in (
        (found.rowptr, expected.rowptr),
        (found.col, expected.col),
        (found.edge, rows[expected.edge]),
        *zip(found.by_source, (expected.tptr, expected.trow, expected.position), strict=True),
    ):
        assert one.tolist() == other.tolist()


@forms
def test_loops_are_numbered_behind_the_edges(native: bool) -> None:
    edges = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 1]])
    # The second loop of node 0 does not count, and both nodes have their own loops.
    assert built(edges, native, 2, nodes=2).edge.tolist() == [1, 0, 3]


@forms
def test_it_follows_the_edge_list(native: bool) -> None:
    array = np.array([[3, 0, 1], [1, 1, 0]])
    edges = torch.from_numpy(array)
    first = built(edges, native)
    assert first.col.tolist() == [1, 3, 0]
    assert built(edges, native) is first
    assert built(edges, native, 2).col.tolist() == [1, 0, 3, 0, 1]
    assert len(built(edges, native, nodes=7).rowptr) == 8
    edges[0, 0] = 2
    assert built(edges, native).col.tolist() == [1, 2, 0]
    array[0, 0] = 0
    assert built(edges, native).col.tolist() == [1, 0, 0]
    edges.data.copy_(torch.tensor([[1, 1, 1], [1, 1, 1]]))
    assert built(edges, native).col.tolist() == [1, 1, 1]
    edges.data = torch.tensor([[1, 2], [0, 3]])
    assert built(edges, native).col.tolist() == [1, 2]


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda edges: edges.flip(0),
    "copy": lambda edges: edges.clone(),
    "part": lambda edges: edges[:, :20],
    "stack": lambda edges: torch.stack([edges[1], edges[0]]),
}


@pytest.mark.skipif(_native.why_missing() is not None, reason="not built")
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("inference", [False, True])
def test_views_made_anew_are_sorted_once(
    view: Callable[[Tensor], Tensor], inference: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorts = []
    sort = graph.sort_rows
    monkeypatch.setattr(graph, "sort_rows", lambda *a: sorts.append(a) or sort(*a))
    with torch.inference_mode(inference):
        edges = torch.randint(4, (2, 30))
        one, two = (built(view(edges), True) for _ in range(2))
    assert one is two
    assert len(sorts) == 1
    forget_graphs()
    built(view(edges), True)
    assert len(sorts) == 2


@pytest.mark.skipif(_native.why_missing() is not None, reason="not built")
def test_graphs_of_dead_tensors_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_graphs()
    for k in range(30):
        built(torch.tensor([[k % 4, 3], [k // 4 % 4, k // 16]]), True)
    assert len(graph._recent) == graph._RECENT_GRAPHS
    monkeypatch.setattr(graph, "_RECENT_BYTES", 100)
    built(torch.randint(4, (2, 30)), True)
    assert len(graph._recent) == 0 or sum(g.nbytes for g in graph._recent.values()) <= 100


@forms
def test_names_the_edge_that_is_out_of_range(native: bool) -> None:
    edges = torch.tensor([[0, 5], [1, 1]])
    with pytest.raises(ValueError, match=r"'edge_index\[0\]' must lie in \[0, 4\).*got 5"):
        built(edges, native)
    with pytest.raises(ValueError, match=r"'edge_index\[\d\]' must lie in \[0, 4\).*got -1"):
        built(torch.tensor([[0], [-1]]), native)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_long_rows_are_cut_into_pieces(dtype: torch.dtype) -> None:
    ptr = torch.tensor([0, 2, 9, 9, 12, 16], dtype=dtype)
    none = torch.empty(16, dtype=dtype)
    found = Graph(5, 5, 16, ptr, none, none)
    pieces = found.pieces(3, by_source=False)
    assert [part.tolist() for part in pieces] == [
        [1, 4],
        [0, 3, 5],
        [1, 1, 1, 4, 4],
        [2, 5, 8, 12, 15],
    ]
    assert all(part.dtype == dtype for part in pieces)
    assert found.pieces(3, by_source=False) is pieces
    assert len(found.pieces(7, by_source=False).row) == 0
