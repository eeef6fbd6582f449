from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import leaky_relu
from torch_geometric.utils import softmax

from graphattn.ops import append_self_loops, gatv2_attend, gatv2_attention, use_implementation

pytestmark = pytest.mark.usefixtures("implementation")


def operands(graph: Any, loops: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    rows = graph.edge_index.size(1) + loops
    return {
        "x_src": torch.randn(graph.num_src, 2, 3, dtype=torch.float64),
        "x_dst": torch.randn(graph.num_dst, 2, 3, dtype=torch.float64),
        "att": torch.randn(2, 3, dtype=torch.float64),
        "edge_x": torch.randn(rows, 2, 3, dtype=torch.float64),
    }


@pytest.mark.parametrize("with_loops", [False, True])
def test_equals_pyg_s_softmax_of_the_scores(graph: Any, with_loops: bool) -> None:
    loops = min(graph.num_src, graph.num_dst) if with_loops else 0
    given = operands(graph, loops)
    appended, counted = append_self_loops(graph.edge_index, loops)
    src, dst = appended[:, counted]
    pair = given["x_src"][src] + given["x_dst"][dst] + given["edge_x"][counted]
    score = torch.einsum("ehc,hc->eh", leaky_relu(pair, 0.3), given["att"])
    expected = softmax(score, dst, num_nodes=graph.num_dst)
    options = {"edge_index": graph.edge_index, "num_self_loops": loops, "negative_slope": 0.3}
    alpha = gatv2_attention(**given, **options)
    torch.testing.assert_close(alpha[counted], expected, rtol=0, atol=1e-14)
    assert (alpha[~counted] == 0).all()
    slow = given["x_src"].new_zeros(graph.num_dst, 2, 3)
    for j, i, a in zip(src.tolist(), dst.tolist(), expected, strict=True):
        slow[i] += a[:, None] * given["x_src"][j]
    torch.testing.assert_close(gatv2_attend(**given, **options), slow, rtol=0, atol=1e-13)


def test_gradients(graph: Any) -> None:
    loops = min(graph.num_src, graph.num_dst)
    given = [t.requires_grad_() for t in operands(graph, loops).values()]

    def run(left: Tensor, right: Tensor, att: Tensor, edge_x: Tensor) -> Tensor:
        return gatv2_attend(left, right, att, graph.edge_index, edge_x=edge_x, num_self_loops=loops)

    assert gradcheck(run, given)


def test_dropout_drops_whole_coefficients() -> None:
    torch.manual_seed(0)
    edges = torch.stack([torch.arange(50), torch.arange(50)])
    x = torch.ones(50, 1, 4)
    out = gatv2_attend(x, x, torch.ones(1, 4), edges, dropout=0.5)
    assert set(out.unique().tolist()) == {0.0, 2.0}


def test_bad_input(graph: Any) -> None:
    given = operands(graph, 0)
    rows = given["edge_x"][:0] if len(given["edge_x"]) else torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match="'edge_x' must have shape"):
        gatv2_attention(edge_index=graph.edge_index, **(given | {"edge_x": rows}))
    with pytest.raises(ValueError, match=r"'att' must have shape \[2, 3\], got \[1, 2, 3\]"):
        gatv2_attention(**(given | {"att": given["att"][None]}), edge_index=graph.edge_index)
    with pytest.raises(ValueError, match="'x_dst' must have shape"):
        gatv2_attend(**(given | {"x_dst": given["x_dst"][..., :1]}), edge_index=graph.edge_index)


# Against a float64 reference, with cotangents of size one and up to 50 edges per node.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-5, torch.bfloat16: 0.4, torch.float16: 0.06}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("heads", "channels"), [(1, 7), (8, 8), (3, 16), (2, 40), (4, 1)])
def test_equals_the_reference(
    graph: Any, implementation: str, dtype: torch.dtype, heads: int, channels: int
) -> None:
    if implementation == "reference":
        pytest.skip("the reference is what the others are compared with")
    torch.manual_seed(0)
    loops = min(graph.num_src, graph.num_dst)
    rows = graph.edge_index.size(1) + loops
    shapes = [(graph.num_src,), (graph.num_dst,), (), (rows,)]
    tensors = [(torch.randn(*shape, heads, channels) / channels**0.5).to(dtype) for shape in shapes]
    cotangent = torch.randn(graph.num_dst, heads, channels)
    runs = []
    for name, wide in (("reference", True), (implementation, False)):
        given = [(t.double() if wide else t).clone().requires_grad_() for t in tensors]
        with use_implementation(name):
            out = gatv2_attend(
                *given[:3],
                graph.edge_index,
                edge_x=given[3],
                num_self_loops=loops,
                dropout=0.4,
                seed=torch.tensor([99]),
            )
        out.backward(cotangent.to(out.dtype))
        runs.append([out.detach(), *(t.grad for t in given)])
    for expected, got in zip(*runs, strict=True):
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=TOLERANCE[dtype])


def test_threads_and_runs_give_the_same_bits(implementation: str) -> None:
    if implementation == "reference":
        pytest.skip("torch's own reductions")
    torch.manual_seed(0)
    nodes, edges = 3000, torch.randint(3000, (2, 30_000)) ** 2 // 3000
    given = [torch.randn(nodes, 4, 16), torch.randn(nodes, 4, 16), torch.randn(4, 16)]
    given = [t.requires_grad_() for t in given]
    threads, runs = torch.get_num_threads(), []
    for count in (1, 2, 3, 1):
        torch.set_num_threads(count)
        out = gatv2_attend(*given, edges, dropout=0.3, seed=torch.tensor([7]))
        runs.append([out.detach(), *torch.autograd.grad(out.square().sum(), given)])
    torch.set_num_threads(threads)
    for other in runs[1:]:
        assert all(torch.equal(one, two) for one, two in zip(runs[0], other, strict=True))
