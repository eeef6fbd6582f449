from __future__ import annotations

import pytest
import torch

from graphattn.ops.checks import (
    check_draw,
    check_edge_index,
    check_nodes,
    check_range,
    check_self_loops,
    check_shape,
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
