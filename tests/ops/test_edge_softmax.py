from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric.utils import softmax

from graphattn.ops import edge_softmax

pytestmark = pytest.mark.usefixtures("reduction")

TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_equals_pyg(graph: Any, dtype: torch.dtype, index_dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    index = graph.edge_index[1]
    score = (10 * torch.randn(len(index), 3)).to(dtype)
    alpha = edge_softmax(score, index.to(index_dtype), num_nodes=graph.num_dst)
    assert alpha.dtype == dtype
    expected = softmax(score.double(), index, num_nodes=graph.num_dst)
    torch.testing.assert_close(alpha.double(), expected, rtol=0, atol=TOLERANCE[dtype])


def test_gradients(graph: Any) -> None:
    index = graph.edge_index[1]
    score = torch.randn(len(index), 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda s: edge_softmax(s, index, num_nodes=graph.num_dst), score)


def test_large_scores_do_not_overflow() -> None:
    score = torch.tensor([[1e4], [1e4 + 1], [-1e4]])
    alpha = edge_softmax(score, torch.tensor([0, 0, 1]), num_nodes=2)
    torch.testing.assert_close(alpha[:2].flatten(), torch.tensor([0.0, 1.0]).softmax(0))
    assert alpha[2] == 1


def test_masked_scores_weigh_nothing() -> None:
    score = torch.tensor([[-torch.inf], [0.0], [-torch.inf]], requires_grad=True)
    alpha = edge_softmax(score, torch.tensor([0, 0, 1]), num_nodes=2)
    assert alpha.flatten().tolist() == [0.0, 1.0, 0.0]
    alpha.sum().backward()
    assert score.grad.isfinite().all()


def test_nan_stays_in_its_row() -> None:
    score = torch.tensor([[torch.nan], [0.0], [0.0]])
    alpha = edge_softmax(score, torch.tensor([0, 0, 1]), num_nodes=2)
    assert alpha.isnan().flatten().tolist() == [True, True, False]


def test_bad_input() -> None:
    score = torch.zeros(3, 1)
    with pytest.raises(ValueError, match=r"'index' must have shape \[3\], got \[2\]"):
        edge_softmax(score, torch.tensor([0, 1]), num_nodes=2)
    with pytest.raises(ValueError, match=r"'score' must have shape \[any, any\]"):
        edge_softmax(score[:, 0], torch.tensor([0, 1, 1]), num_nodes=2)
    with pytest.raises(ValueError, match=r"'index' must lie in \[0, 2\)"):
        edge_softmax(score, torch.tensor([0, 1, 2]), num_nodes=2)
