from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import leaky_relu

from graphattn.ops import append_self_loops, gat_attend, gat_attention, use_implementation

pytestmark = pytest.mark.usefixtures("implementation")


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
    with pytest.raises(ValueError, match="'edge_score' must have shape"):
        gat_attention(edge_index=graph.edge_index, **(given | {"edge_score": rows}))
    with pytest.raises(ValueError, match="'score_dst' must have shape"):
        gat_attention(given["score_src"], given["score_dst"][:, :1], graph.edge_index)
    with pytest.raises(ValueError, match="'x' must have shape"):
        gat_attend(torch.zeros(graph.num_src + 1, 2, 3), edge_index=graph.edge_index, **given)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("heads", "channels"), [(1, 7), (8, 8), (3, 16), (2, 40), (4, 1)])
def test_equals_the_reference(
    graph: Any, implementation: str, dtype: torch.dtype, heads: int, channels: int
) -> None:
    if implementation == "reference":
        pytest.skip("the reference is what the others are compared with")
    torch.manual_seed(0)
    loops = min(graph.num_src, graph.num_dst)
    rows = graph.edge_index.size(1) + loops
    x = torch.randn(graph.num_src, heads, channels).to(dtype)
    scores = [torch.randn(n, heads) for n in (graph.num_src, graph.num_dst, rows)]
    cotangent = torch.randn(graph.num_dst, heads, channels)
    seed = torch.tensor([1 << 40 | 12345])
    runs = []
    for name, wide in (("reference", True), (implementation, False)):
        given = [t.to(torch.float64) if wide else t for t in (x, *scores)]
        if not wide and dtype == torch.float64:
            given[1:] = [t.double() for t in given[1:]]
        given = [t.clone().requires_grad_() for t in given]
        with use_implementation(name):
            out = gat_attend(
                *given[:3],
                graph.edge_index,
                edge_score=given[3],
                num_self_loops=loops,
                dropout=0.4,
                seed=seed,
            )
        out.backward(cotangent.to(out.dtype))
        runs.append([out.detach(), *(t.grad for t in given)])
    for expected, got in zip(*runs, strict=True):
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=TOLERANCE[dtype])


# Against a float64 reference, with cotangents of size one and up to 50 edges per node.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 0.1, torch.float16: 0.02}


def test_threads_and_runs_give_the_same_bits(implementation: str) -> None:
    if implementation == "reference":
        pytest.skip("torch's own reductions")
    torch.manual_seed(0)
    nodes, edges = 3000, torch.randint(3000, (2, 30_000)) ** 2 // 3000
    given = [torch.randn(nodes, 8, 8), torch.randn(nodes, 8), torch.randn(nodes, 8)]
    given = [t.requires_grad_() for t in given]
    threads, runs = torch.get_num_threads(), []
    for count in (1, 2, 3, 1):
        torch.set_num_threads(count)
        out = gat_attend(*given, edges, dropout=0.3, seed=torch.tensor([7]))
        runs.append([out.detach(), *torch.autograd.grad(out.square().sum(), given)])
    torch.set_num_threads(threads)
    for other in runs[1:]:
        assert all(torch.equal(one, two) for one, two in zip(runs[0], other, strict=True))


def test_nothing_of_the_size_of_edges_is_saved(implementation: str) -> None:
    if implementation == "reference":
        pytest.skip("autograd of the reference keeps what it needs")
    nodes, edges = 10, torch.randint(10, (2, 5000))
    given = [torch.randn(nodes, 2, 8), torch.randn(nodes, 2), torch.randn(nodes, 2)]
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        gat_attend(*(t.requires_grad_() for t in given), edges)
    assert max(t.numel() for t in saved if t.is_floating_point()) == nodes * 16


def test_strided_rows(implementation: str) -> None:
    torch.manual_seed(0)
    packed = torch.randn(20, 2 * 8 + 4, requires_grad=True)
    x, u, w = packed.split([16, 2, 2], dim=1)
    edges = torch.randint(20, (2, 90))
    out = gat_attend(x.view(20, 2, 8), u, w, edges)
    expected = gat_attend(x.contiguous().view(20, 2, 8), u.contiguous(), w.contiguous(), edges)
    torch.testing.assert_close(out, expected)


def test_double_backward_is_refused(implementation: str) -> None:
    if implementation == "reference":
        pytest.skip("the reference can be differentiated twice")
    x = torch.randn(4, 1, 2, requires_grad=True)
    scores = torch.randn(4, 1)
    out = gat_attend(x.sin(), scores, scores, torch.tensor([[0, 1], [1, 2]]))
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="autograd"):
        grad.sum().backward()


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
