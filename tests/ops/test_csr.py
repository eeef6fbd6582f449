from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphattn.ops import CSR, _native, build_csr, use_implementation
from graphattn.ops._csr import cached_csr, cached_pieces

HAS_NATIVE = _native.why_missing() is None
IMPLEMENTATIONS = [
    "reference",
    pytest.param(
        "cpu", marks=pytest.mark.skipif(not HAS_NATIVE, reason="the native library was not built")
    ),
]


def slow_csr(edge_index: Tensor, num_src: int, num_dst: int) -> CSR:
    """The definition in Python lists."""
    edges = list(zip(*edge_index.tolist(), strict=True)) if edge_index.numel() else []
    order = sorted(range(len(edges)), key=lambda e: edges[e][1])
    col = [edges[e][0] for e in order]
    position = sorted(range(len(edges)), key=lambda p: col[p])
    parts = (
        [sum(dst < i for _, dst in edges) for i in range(num_dst + 1)],
        col,
        order,
        [sum(src < j for src, _ in edges) for j in range(num_src + 1)],
        [edges[order[p]][1] for p in position],
        position,
    )
    return CSR(*(torch.tensor(part, dtype=edge_index.dtype) for part in parts))


edge_lists = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n)), max_size=40)
    )
)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@given(edge_lists)
@settings(max_examples=30, deadline=None)
def test_equals_the_definition(
    implementation: str, dtype: torch.dtype, drawn: tuple[int, list[tuple[int, int]]]
) -> None:
    n, pairs = drawn
    edge_index = torch.tensor(pairs, dtype=dtype).reshape(-1, 2).t()
    with use_implementation(implementation):
        csr = build_csr(edge_index, num_src=n, num_dst=n + 1)
    for name, got, expected in zip(CSR._fields, csr, slow_csr(edge_index, n, n + 1), strict=True):
        assert got.dtype == dtype, name
        assert torch.equal(got, expected), name


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "bad", [[[0, 5], [1, 1]], [[0, 1], [1, 2]], [[0, -1], [1, 1]], [[0, 0], [1, -7]]]
)
def test_names_the_edge_that_is_out_of_range(implementation: str, bad: list[list[int]]) -> None:
    src, dst = bad[0][1], bad[1][1]
    with (
        use_implementation(implementation),
        pytest.raises(
            ValueError, match=rf"{src} -> {dst} \(column 1\).* 5 source and 2 destination"
        ),
    ):
        build_csr(torch.tensor(bad), num_src=5, num_dst=2)


def test_refuses_other_forms() -> None:
    with pytest.raises(ValueError, match=r"shape \[2, E\], got \[3\]"):
        build_csr(torch.zeros(3, dtype=torch.long), num_src=1, num_dst=1)
    with pytest.raises(TypeError, match=r"int32 or int64, got torch\.float32"):
        build_csr(torch.zeros(2, 3), num_src=1, num_dst=1)


def test_the_cache_follows_the_edge_list() -> None:
    def build(edges: Tensor, loops: int = 0, nodes: int = 4) -> list[int]:
        return cached_csr(edges, loops, num_src=nodes, num_dst=nodes).col.tolist()

    edges = torch.tensor([[3, 0, 1], [1, 1, 0]])
    first = cached_csr(edges, 0, num_src=4, num_dst=4)
    assert first.col.tolist() == [1, 3, 0]
    assert first.col.dtype == torch.int32
    assert cached_csr(edges, 0, num_src=4, num_dst=4) is first
    assert build(edges, loops=2) == [1, 0, 3, 0, 1]
    assert len(cached_csr(edges, 0, num_src=4, num_dst=7).rowptr) == 8
    edges[0, 0] = 2
    assert build(edges) == [1, 2, 0]
    edges.data = torch.tensor([[1, 2], [0, 3]])
    assert build(edges) == [1, 2]


def test_loops_are_numbered_behind_the_edges() -> None:
    edges = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 1]])
    csr = cached_csr(edges, 2, num_src=2, num_dst=2)
    # The second loop of node 0 does not count, and both nodes have their own loops.
    assert csr.edge.tolist() == [1, 0, 3]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_long_rows_are_cut_into_pieces(dtype: torch.dtype) -> None:
    ptr = torch.tensor([0, 2, 9, 9, 12, 16], dtype=dtype)
    pieces = cached_pieces(ptr, 3)
    assert [part.tolist() for part in pieces] == [
        [1, 4],
        [0, 3, 5],
        [1, 1, 1, 4, 4],
        [2, 5, 8, 12, 15],
    ]
    assert all(part.dtype == dtype for part in pieces)
    assert cached_pieces(ptr, 3) is pieces
    assert len(cached_pieces(ptr, 7).row) == 0
    assert len(cached_pieces(ptr[:1], 3).hub) == 0
