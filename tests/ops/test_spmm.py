from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from graphattn.ops import spmm

pytestmark = pytest.mark.usefixtures("reduction")

TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def dense(x: Tensor, weight: Tensor, edge_index: Tensor, num_dst: int) -> Tensor:
    """One dense matrix per head."""
    src, dst = edge_index.long()
    matrix = weight.new_zeros(num_dst, x.size(0), x.size(1))
    matrix = matrix.index_put((dst, src), weight, accumulate=True)
    return torch.einsum("ijh,jhc->ihc", matrix, x)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_a_dense_product(graph: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(graph.num_src, 2, 3).to(dtype)
    weight = torch.rand(graph.edge_index.size(1), 2).to(dtype) / 10
    out = spmm(x, weight, graph.edge_index.int(), num_dst=graph.num_dst)
    assert out.dtype == dtype
    expected = dense(x.double(), weight.double(), graph.edge_index, graph.num_dst)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=TOLERANCE[dtype])


def test_gradients(graph: Any) -> None:
    x = torch.randn(graph.num_src, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(graph.edge_index.size(1), 2, dtype=torch.float64, requires_grad=True)
    run = lambda x, w: spmm(x, w, graph.edge_index, num_dst=graph.num_dst)  # noqa: E731
    assert gradcheck(run, (x, weight))


def test_bad_input() -> None:
    x, weight, edges = torch.zeros(2, 1, 1), torch.zeros(1, 1), torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match=r"'weight' must have shape \[1, 1\], got \[2, 1\]"):
        spmm(x, torch.zeros(2, 1), edges, num_dst=2)
    with pytest.raises(ValueError, match=r"'x' must have shape"):
        spmm(x[0], weight, edges, num_dst=2)
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' must lie in \[0, 1\)"):
        spmm(x, weight, edges, num_dst=1)
