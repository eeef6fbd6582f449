from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import leaky_relu

from graphattn.ops import GATScore, append_self_loops, attend, attention_weights

pytestmark = pytest.mark.usefixtures("implementation")


def gat_attention(
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    edge_score: Tensor | None = None,
    **options: Any,
) -> Tensor:
    return attention_weights(GATScore(score_src, score_dst, edge_score), edge_index, **options)


def gat_attend(
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    edge_score: Tensor | None = None,
    **options: Any,
) -> Tensor:
    out: Tensor = attend(x, GATScore(score_src, score_dst, edge_score), edge_index, **options)
    return out


def operands(graph: Any, loops: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    torch.manual_seed(0)
    rows = graph.edge_index.size(1) + loops
    return {
        "score_src": torch.randn(graph.num_src, 2, dtype=dtype),
        "score_dst": torch.randn(graph.num_dst, 2, dtype=dtype),
        "edge_score": torch.randn(rows, 2, dtype=dtype),
    }


def slow_attention(
    edges: Tensor, score_src: Tensor, score_dst: Tensor, edge_score: Tensor
) -> Tensor:
    """Edge by edge, without a shift."""
    score = [
        leaky_relu(score_src[j] + score_dst[i] + r, 0.2).exp()
        for (j, i), r in zip(edges.t().tolist(), edge_score, strict=True)
    ]
    total = {
        i: sum(s for s, d in zip(score, edges[1].tolist(), strict=True) if d == i)
        for i in set(edges[1].tolist())
    }
    rows = [s / total[i] for s, i in zip(score, edges[1].tolist(), strict=True)]
    return torch.stack(rows) if rows else edge_score.new_zeros(0, 2)


@pytest.mark.parametrize("with_loops", [False, True])
def test_equals_an_edge_by_edge_computation(graph: Any, with_loops: bool) -> None:
    loops = min(graph.num_src, graph.num_dst) if with_loops else 0
    given = operands(graph, loops)
    appended, counted = append_self_loops(graph.edge_index, loops)
    alpha = gat_attention(edge_index=graph.edge_index, num_self_loops=loops, **given)
    given["edge_score"] = given["edge_score"][counted]
    expected = slow_attention(appended[:, counted], **given)
    torch.testing.assert_close(alpha[counted], expected, rtol=0, atol=1e-14)
    assert (alpha[~counted] == 0).all()
    x = torch.randn(graph.num_src, 2, 3, dtype=torch.float64)
    out = gat_attend(x, edge_index=graph.edge_index, num_self_loops=loops, **operands(graph, loops))
    slow = x.new_zeros(graph.num_dst, 2, 3)
    for (j, i), a in zip(appended[:, counted].t().tolist(), expected, strict=True):
        slow[i] += a[:, None] * x[j]
    torch.testing.assert_close(out, slow, rtol=0, atol=1e-13)


def test_gradients(graph: Any) -> None:
    loops = min(graph.num_src, graph.num_dst)
    given = [t.requires_grad_() for t in operands(graph, loops).values()]
    x = torch.randn(graph.num_src, 2, 2, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, u: Tensor, w: Tensor, r: Tensor) -> Tensor:
        return gat_attend(x, u, w, graph.edge_index, edge_score=r, num_self_loops=loops)

    assert gradcheck(run, (x, *given))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_scores_in_float32(graph: Any, dtype: torch.dtype) -> None:
    given = {name: tensor.to(dtype) for name, tensor in operands(graph, 0).items()}
    alpha = gat_attention(edge_index=graph.edge_index, **given)
    assert alpha.dtype == torch.float32
    x = torch.ones(graph.num_src, 2, 1, dtype=dtype)
    out = gat_attend(x, edge_index=graph.edge_index, **given)
    assert out.dtype == dtype
    total = torch.zeros(graph.num_dst, 2).index_add(0, graph.edge_index[1], alpha)
    torch.testing.assert_close(out.squeeze(-1).float(), total, rtol=0, atol=8e-3)


def test_dropout_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    edges = torch.stack([torch.arange(20_000), torch.zeros(20_000, dtype=torch.long)])
    x, score = torch.ones(20_000, 1, 1), torch.zeros(20_000, 1)
    out = gat_attend(x, score, score[:1], edges, dropout=0.5)
    assert abs(out.item() - 1) < 0.05
    assert out.item() != 1
    assert gat_attend(x, score, score[:1], edges, dropout=1.0).item() == 0


def test_bad_input(graph: Any) -> None:
    given = operands(graph, 0)
    rows = given["edge_score"][:0] if len(given["edge_score"]) else torch.zeros(1, 2)
    with pytest.raises(ValueError, match="'edge' must have shape"):
        gat_attention(edge_index=graph.edge_index, **(given | {"edge_score": rows}))
    with pytest.raises(ValueError, match="'dst' must have shape"):
        gat_attention(given["score_src"], given["score_dst"][:, :1], graph.edge_index)
    with pytest.raises(ValueError, match="'src' must have shape"):
        gat_attend(torch.zeros(graph.num_src + 1, 2, 3), edge_index=graph.edge_index, **given)


def test_strided_rows(implementation: str) -> None:
    torch.manual_seed(0)
    packed = torch.randn(20, 2 * 8 + 4, requires_grad=True)
    x, u, w = packed.split([16, 2, 2], dim=1)
    edges = torch.randint(20, (2, 90))
    out = gat_attend(x.view(20, 2, 8), u, w, edges)
    expected = gat_attend(x.contiguous().view(20, 2, 8), u.contiguous(), w.contiguous(), edges)
    torch.testing.assert_close(out, expected)


def test_large_scores_keep_the_digits_of_the_gradient() -> None:
    # A common offset leaves the coefficients as they are, so it must leave the gradients, too.
    torch.manual_seed(0)
    edges = torch.randint(50, (2, 400))
    x, u, w = torch.randn(50, 2, 8), torch.randn(50, 2), torch.randn(50, 2).abs()
    grads = []
    for offset in (0.0, 4096.0):
        given = [x.clone(), (u.abs() * 64).round() / 64, (w * 64).round() / 64 + offset]
        given = [t.requires_grad_() for t in given]
        gat_attend(*given, edges).square().sum().backward()
        grads.append([t.grad for t in given])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
