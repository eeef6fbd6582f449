from __future__ import annotations

from typing import Any

import pytest
import torch

from graphattn.ops import GivenScore, attend, edge_softmax, spmm

pytestmark = pytest.mark.usefixtures("implementation")


def test_is_the_softmax_and_the_weighted_sum(graph: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(graph.num_src, 2, 3, dtype=torch.float64)
    score = torch.randn(graph.edge_index.size(1), 2, dtype=torch.float64)
    alpha = edge_softmax(score, graph.edge_index[1], num_nodes=graph.num_dst)
    expected = spmm(x, alpha, graph.edge_index, num_dst=graph.num_dst)
    out = attend(x, GivenScore(score), graph.edge_index, num_dst=graph.num_dst)
    torch.testing.assert_close(out, expected)


def test_bad_input() -> None:
    x, edges = torch.zeros(2, 1, 1), torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match=r"'score' must have shape \[1, 1\], got \[2, 1\]"):
        attend(x, GivenScore(torch.zeros(2, 1)), edges, num_dst=2)
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' must lie in \[0, 1\)"):
        attend(x, GivenScore(torch.zeros(1, 1)), edges, num_dst=1)
    with pytest.raises(ValueError, match=r"'dropout' must lie in \[0, 1\], got 2"):
        attend(x, GivenScore(torch.zeros(1, 1)), edges, num_dst=2, dropout=2.0)
    with pytest.raises(ValueError, match="'num_dst' is needed: no operand of GivenScore"):
        attend(x, GivenScore(torch.zeros(1, 1)), edges)
