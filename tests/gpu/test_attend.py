"""The fused attention ops on a CUDA device: run with ``pytest -m gpu tests/gpu``.

Needs torch, torch-geometric, triton and pytest, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from graphattn.nn import GATConv, GATv2Conv
from graphattn.ops import DotScore, GATScore, GATv2Score, GivenScore, attend, spmm
from graphattn.ops import use_implementation as use
from graphattn.ops._dispatch import choose

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

LOOPS = {"num_self_loops": 300}
SEED = {"dropout": 0.4, "seed": torch.tensor([1 << 40 | 12345])}
NODES, EDGES = 300, 9000  # of the edges, 3000 enter one node and 3000 leave one: both are cut


def gat_attend(
    x: Tensor, score_src: Tensor, score_dst: Tensor, edge_score: Tensor | None = None, **others: Any
) -> Tensor:
    out: Tensor = attend(x, GATScore(score_src, score_dst, edge_score), **others)
    return out


def gatv2_attend(
    x_src: Tensor, x_dst: Tensor, att: Tensor, edge_x: Tensor | None = None, **others: Any
) -> Tensor:
    out: Tensor = attend(x_src, GATv2Score(x_src, x_dst, att, edge_x), **others)
    return out


def dot_attend(
    value: Tensor,
    query: Tensor,
    key: Tensor,
    edge_x: Tensor | None = None,
    edge_score: Tensor | None = None,
    **others: Any,
) -> Tensor:
    out: Tensor = attend(value, DotScore(query, key, edge_x, edge_score), **others)
    return out


def score_attend(x: Tensor, score: Tensor, **others: Any) -> Tensor:
    out: Tensor = attend(x, GivenScore(score), **others)
    return out


class Op(NamedTuple):
    run: Callable[..., Tensor]
    # Operands by letters: S, D sources and destinations, E edges; h heads, c heads and channels.
    operands: Mapping[str, str]
    options: Mapping[str, Any]
    loops: int = 0


OPS = {
    "gat": Op(
        gat_attend,
        {"x": "Sc", "score_src": "Sh", "score_dst": "Dh", "edge_score": "Eh", "bias": "c"},
        LOOPS | SEED,
        NODES,
    ),
    "gat alone": Op(gat_attend, {"x": "Sc", "score_src": "Sh", "score_dst": "Dh"}, {}),
    "gatv2": Op(
        gatv2_attend,
        {"x_src": "Sc", "x_dst": "Dc", "att": "c", "edge_x": "Ec", "bias": "c"},
        LOOPS | SEED,
        NODES,
    ),
    "gatv2 alone": Op(gatv2_attend, {"x_src": "Sc", "x_dst": "Dc", "att": "c"}, {}),
    "dot": Op(
        dot_attend,
        {
            "value": "Sc",
            "query": "Dc",
            "key": "Sc",
            "edge_x": "Ec",
            "edge_score": "Eh",
            "bias": "Dc",
        },
        LOOPS | SEED,
        NODES,
    ),
    "dot alone": Op(dot_attend, {"value": "Sc", "query": "Dc", "key": "Sc"}, {}),
    "score": Op(score_attend, {"x": "Sc", "score": "Eh"}, SEED | {"num_dst": NODES}),
    "spmm": Op(spmm, {"x": "Sc", "weight": "Eh"}, {"num_dst": NODES}),
}
every_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS.keys())

# Largest deviation, relative to the largest entry.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 0.04, torch.float16: 0.01}
SHAPES = {
    torch.float64: (3, 5),
    torch.float32: (8, 8),
    torch.bfloat16: (4, 32),
    torch.float16: (1, 160),
}


def edges_with_hubs() -> Tensor:
    torch.manual_seed(0)
    edges = torch.randint(NODES, (2, EDGES))
    edges[1, :3000] = 7
    edges[0, 3000:6000] = 11
    edges[1, 6000:] = edges[1, 6000:].clamp(max=NODES - 5)  # some nodes have few edges or none
    return edges[:, torch.randperm(EDGES)]


def inputs(op: Op, heads: int, channels: int, dtype: torch.dtype) -> dict[str, Tensor]:
    torch.manual_seed(1)
    rows = {"S": (NODES,), "D": (NODES,), "E": (EDGES + op.loops,), "": ()}
    columns = {"h": (heads,), "c": (heads, channels)}
    return {
        name: torch.randn(rows[form[:-1]] + columns[form[-1]]).to(dtype) / channels**0.5
        for name, form in op.operands.items()
    }


def solve(op: Op, edges: Tensor, given: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    """Output and gradients."""
    operands = {name: tensor.to(device).requires_grad_() for name, tensor in given.items()}
    options = {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in op.options.items()
    }
    out = op.run(**operands, edge_index=edges.to(device), **options)
    torch.manual_seed(2)
    out.backward(torch.randn(out.shape).to(device, out.dtype))
    return {"output": out.detach(), **{name: t.grad for name, t in operands.items()}}


@every_op
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_the_reference_on_the_cpu(op: Op, dtype: torch.dtype) -> None:
    edges, given = edges_with_hubs(), inputs(op, *SHAPES[dtype], dtype)
    with use("reference"):
        expected = solve(op, edges, {name: t.double() for name, t in given.items()}, "cpu")
    got = solve(op, edges.int() if dtype == torch.float32 else edges, given, "cuda")
    for name, value in expected.items():
        off = (got[name].cpu().double() - value).abs() / value.abs().max()
        # Where LeakyReLU has its kink, rounding may choose the other side in a few entries.
        wrong = (off > TOLERANCE[dtype]).double().mean()
        assert wrong <= (0 if dtype == torch.float64 else 1e-3), f"{name}: up to {off.max()}"


@every_op
def test_runs_give_the_same_bits(op: Op) -> None:
    edges, given = edges_with_hubs(), inputs(op, 8, 8, torch.float32)
    first, second = (solve(op, edges, given, "cuda") for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@contextmanager
def no_waiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_host_does_not_wait() -> None:
    edges, given = edges_with_hubs().cuda(), inputs(OPS["gat"], 8, 8, torch.float32)
    operands = {name: tensor.cuda().requires_grad_() for name, tensor in given.items()}
    grad = torch.ones(NODES, 8, 8, device="cuda")
    gat_attend(**operands, edge_index=edges, dropout=0.5, **LOOPS).backward(grad)
    with no_waiting():
        gat_attend(**operands, edge_index=edges, dropout=0.5, **LOOPS).backward(grad)


def test_nothing_of_the_size_of_edges_and_channels_is_made() -> None:
    edges, count, heads, channels = torch.randint(100, (2, 200_000)).cuda(), 200_000, 4, 64
    x, u, w = (
        torch.randn(100, heads, *shape, device="cuda", requires_grad=True)
        for shape in ((channels,), (), ())
    )
    gat_attend(x, u, w, edge_index=edges).sum().backward()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    out = gat_attend(x, u, w, edge_index=edges)
    assert torch.cuda.memory_allocated() - before < count  # bytes
    out.sum().backward()
    assert torch.cuda.max_memory_allocated() - before < count * heads * 4 * 2


def test_graphs_without_edges_or_nodes() -> None:
    for nodes in (0, 3):
        x = torch.randn(nodes, 2, 4, device="cuda", requires_grad=True)
        score = torch.randn(nodes, 2, device="cuda", requires_grad=True)
        edges = torch.empty(2, 0, dtype=torch.long, device="cuda")
        out = gat_attend(x, score, score, edge_index=edges)
        out.sum().backward()
        assert not out.any()
        assert not x.grad.any()


@pytest.mark.parametrize("layer", [GATConv, GATv2Conv])
def test_layers(layer: Any) -> None:
    assert choose("attend", "cuda").implementation == "gpu"
    torch.manual_seed(0)
    conv, edges = layer(16, 8, heads=4).double(), edges_with_hubs()
    x = torch.randn(NODES, 16, dtype=torch.float64, requires_grad=True)
    with use("reference"):
        expected = conv(x, edges)
        (expected_grad,) = torch.autograd.grad(expected.square().sum(), x)
    conv, on_device = conv.cuda(), x.detach().cuda().requires_grad_()
    got = conv(on_device, edges.cuda())
    (got_grad,) = torch.autograd.grad(got.square().sum(), on_device)
    torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(got_grad.cpu(), expected_grad, rtol=1e-8, atol=1e-8)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(on_device, edges.cuda()), got)
