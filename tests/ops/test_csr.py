from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric import EdgeIndex

from graphattn.ops import CSR, _native, build_csr, use_implementation

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
    row = 0 if bad[0][1] not in range(5) else 1
    text = rf"'edge_index\[{row}\]' must lie in \[0, {(5, 2)[row]}\).*got {bad[row][1]} in column 1"
    with use_implementation(implementation), pytest.raises(ValueError, match=text):
        build_csr(torch.tensor(bad), num_src=5, num_dst=2)


def test_refuses_other_forms() -> None:
    with pytest.raises(ValueError, match=r"shape \[2, E\], got \[3\]"):
        build_csr(torch.zeros(3, dtype=torch.long), num_src=1, num_dst=1)
    with pytest.raises(TypeError, match=r"int32 or int64, got torch\.float32"):
        build_csr(torch.zeros(2, 3), num_src=1, num_dst=1)


def test_takes_pyg_s_classes() -> None:
    edges = torch.tensor([[0, 5, 2], [1, 1, 0]])
    expected = build_csr(edges, num_src=7, num_dst=7)
    got = build_csr(EdgeIndex(edges), num_src=7, num_dst=7)
    assert all(torch.equal(one, other) for one, other in zip(got, expected, strict=True))
    for bad in (edges.to(torch.uint64), edges.to_sparse(), edges.tolist()):
        with pytest.raises(TypeError, match="'edge_index' must be"):
            build_csr(bad, num_src=7, num_dst=7)
