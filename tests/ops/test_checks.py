from __future__ import annotations

import pytest
import torch
from torch_geometric import EdgeIndex, Index
from torch_geometric.data import Data

from graphattn.data import check_data
from graphattn.nn import AEROConv, GATConv
from graphattn.ops import append_self_loops, sparse_linear
from graphattn.ops import kept as kept_module
from graphattn.ops.checks import (
    check_csr,
    check_draw,
    check_edge_index,
    check_nodes,
    check_range,
    check_self_loops,
    check_shape,
    check_slope,
    plain,
)


def test_edge_index_of_another_form() -> None:
    with pytest.raises(TypeError, match=r"'edge_index' must be int32 or int64, got torch\.bool"):
        check_edge_index(torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"'edge_index' must have shape \[2, E\], got \[3, 2\]"):
        check_edge_index(torch.ones(3, 2, dtype=torch.long))


def test_both_ends_have_their_own_range() -> None:
    edges = torch.tensor([[3], [1]])
    check_nodes(edges, num_src=4, num_dst=2)
    with pytest.raises(ValueError, match=r"'edge_index\[0\]' must lie in \[0, 2\).*got 3"):
        check_nodes(edges, num_src=2, num_dst=4)
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' must lie in \[0, 1\).*got 1"):
        check_nodes(edges, num_src=4, num_dst=1)


def test_range_of_nothing() -> None:
    check_range(torch.empty(0, dtype=torch.long), "index", 0)


def test_shape_with_a_free_size() -> None:
    check_shape(torch.zeros(3, 2), "x", (None, 2))
    for shape in ((None, 3), (3,), (3, 2, 1)):
        with pytest.raises(ValueError, match=r"'x' must have shape \[.*\], got \[3, 2\]"):
            check_shape(torch.zeros(3, 2), "x", shape)


def test_draws() -> None:
    check_draw(0.5, None)
    check_draw(1.0, torch.tensor([3]))
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"'dropout' must lie in \[0, 1\]"):
            check_draw(p, None)
    with pytest.raises(TypeError, match="'seed' must be an int64 tensor, got 3"):
        check_draw(0.5, 3)
    with pytest.raises(ValueError, match=r"'seed' must have shape \[1\], got \[2\]"):
        check_draw(0.5, torch.tensor([1, 2]))


def test_self_loops() -> None:
    check_self_loops(3, 3)
    for count in (-1, 4):
        with pytest.raises(
            ValueError, match=rf"'num_self_loops' must lie in \[0, 3\].*got {count}"
        ):
            check_self_loops(count, 3)


def test_pyg_s_classes_stand_for_their_tensors() -> None:
    edges = torch.tensor([[0, 1], [1, 0]])
    for given in (EdgeIndex(edges), Index(edges[0]), edges):
        found = plain(given, "index")
        assert type(found) is torch.Tensor
        assert found.data_ptr() != 0
    negated = torch._neg_view(edges)
    assert plain(negated, "index").tolist() == (-edges).tolist()
    assert not plain(negated, "index").is_neg()
    for other in (edges.to_sparse(), edges.tolist(), None):
        with pytest.raises(TypeError, match="'index' must be"):
            plain(other, "index")


INVALID = [
    ([0, 1, 2, 3], [0, 10**9, 2]),  # a column that is not there
    ([0, 1, 2, 3], [0, -1, 2]),
    ([0, 2, 1, 3], [0, 1, 2]),  # pointers that fall
    ([0, 1, 2, 10**9], [0, 1, 2]),  # more entries than there are
    ([1, 1, 2, 3], [0, 1, 2]),
]


@pytest.mark.parametrize(("ptr", "index"), INVALID)
def test_patterns_of_matrices_are_looked_at(ptr: list[int], index: list[int]) -> None:
    for make in (torch.sparse_csr_tensor, torch.sparse_csc_tensor):
        arrays = (torch.tensor(ptr), torch.tensor(index), torch.ones(3))
        matrix = make(*arrays, size=(3, 3), check_invariants=False)
        with pytest.raises(ValueError, match="'x"):
            check_csr(matrix, "x")
    matrix = torch.sparse_csr_tensor(*arrays, size=(3, 3), check_invariants=False)
    dense, edges = torch.randn(3, 3), torch.tensor([[0], [1]])
    masks = dict(zip(("train_mask", "val_mask", "test_mask"), torch.eye(3).bool(), strict=True))
    data = Data(x=matrix, edge_index=edges, y=torch.zeros(3, dtype=torch.long), **masks)
    for call in (
        lambda: sparse_linear(matrix, torch.ones(2, 3)),
        lambda: GATConv(3, 2)(matrix, edges),
        lambda: GATConv(3, 2)(dense, matrix),
        lambda: AEROConv(3, 2)(dense, matrix),
        lambda: check_data(data),
    ):
        with pytest.raises(ValueError, match=r"'(x|edge_index)"):
            call()


def test_a_pattern_is_looked_at_once() -> None:
    matrix = torch.eye(3).to_sparse_csr()
    check_csr(matrix, "x")
    kept_of = kept_module._KEPT[id(matrix)]
    before = len(kept_of)
    check_csr(matrix, "x")
    assert len(kept_of) == before


@pytest.mark.parametrize(
    ("edges", "count", "error"),
    [
        (torch.ones(2, 3), 2, TypeError),
        ([[0], [1]], 1, TypeError),
        (torch.tensor([0, 1]), 1, ValueError),
        (torch.tensor([[0], [1]]), -1, ValueError),
        (torch.tensor([[0], [1]]), 1.5, TypeError),
    ],
)
def test_self_loops_of_malformed_edges(edges: object, count: object, error: type) -> None:
    with pytest.raises(error, match=r"'(edge_index|num_nodes)' must"):
        append_self_loops(edges, count)


def test_slopes() -> None:
    check_slope(0.2, "negative_slope")
    for bad in (1e300, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="'negative_slope' must be finite in float32"):
            check_slope(bad, "negative_slope")
    with pytest.raises(TypeError, match="'negative_slope' must be a number"):
        check_slope("0.2", "negative_slope")
