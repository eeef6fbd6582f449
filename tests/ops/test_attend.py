"""What holds for every fused attention op: it equals its reference, whatever it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from graphattn.ops import (
    _native,
    dot_attend,
    gat_attend,
    gatv2_attend,
    score_attend,
    spmm,
    use_implementation,
)

FAST = [
    pytest.param(
        "cpu",
        marks=pytest.mark.skipif(_native.why_missing() is not None, reason="no native library"),
    )
]
every_fast_path = pytest.mark.parametrize("implementation", FAST)


class Sizes(NamedTuple):
    num_src: int
    num_dst: int
    rows: int  # edges and self-loops
    heads: int
    channels: int


class Op(NamedTuple):
    """An op, and the shapes of its operands by name."""

    run: Callable[..., Tensor]
    shapes: Callable[[Sizes], dict[str, tuple[int, ...]]]
    takes_loops: bool = True
    takes_dropout: bool = True


OPS = {
    "gat": Op(
        gat_attend,
        lambda s: {
            "x": (s.num_src, s.heads, s.channels),
            "score_src": (s.num_src, s.heads),
            "score_dst": (s.num_dst, s.heads),
            "edge_score": (s.rows, s.heads),
            "bias": (s.heads, s.channels),
        },
    ),
    "gatv2": Op(
        gatv2_attend,
        lambda s: {
            "x_src": (s.num_src, s.heads, s.channels),
            "x_dst": (s.num_dst, s.heads, s.channels),
            "att": (s.heads, s.channels),
            "edge_x": (s.rows, s.heads, s.channels),
            "bias": (s.heads, s.channels),
        },
    ),
    "dot": Op(
        dot_attend,
        lambda s: {
            "value": (s.num_src, s.heads, s.channels),
            "query": (s.num_dst, s.heads, s.channels),
            "key": (s.num_src, s.heads, s.channels),
            "edge_x": (s.rows, s.heads, s.channels),
            "edge_score": (s.rows, s.heads),
            "bias": (s.heads, s.channels),
        },
    ),
    "score": Op(
        score_attend,
        lambda s: {"x": (s.num_src, s.heads, s.channels), "score": (s.rows, s.heads)},
        takes_loops=False,
    ),
    "spmm": Op(
        spmm,
        lambda s: {"x": (s.num_src, s.heads, s.channels), "weight": (s.rows, s.heads)},
        takes_loops=False,
        takes_dropout=False,
    ),
}
OPTIONAL = {"edge_score", "edge_x", "bias"}
every_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS.keys())


class Problem(NamedTuple):
    """An op with its inputs."""

    op: Op
    operands: dict[str, Tensor]
    options: dict[str, Any]
    cotangent: Tensor

    def solve(self, implementation: str, dtype: torch.dtype) -> dict[str, Tensor]:
        """Output and gradients, computed in `dtype`."""
        operands = {k: t.to(dtype).clone().requires_grad_() for k, t in self.operands.items()}
        with use_implementation(implementation):
            out = self.op.run(**operands, **self.options)
        out.backward(self.cotangent.to(out.dtype))
        return {"output": out.detach(), **{k: t.grad for k, t in operands.items()}}


def problem(
    op: Op,
    edge_index: Tensor,
    num_src: int,
    num_dst: int,
    *,
    heads: int = 2,
    channels: int = 4,
    dtype: torch.dtype = torch.float64,
    loops: bool = True,
    dropout: float = 0.4,
    optional: bool = True,
) -> Problem:
    torch.manual_seed(0)
    num_loops = min(num_src, num_dst) if loops and op.takes_loops else 0
    sizes = Sizes(num_src, num_dst, edge_index.size(1) + num_loops, heads, channels)
    operands = {
        name: (torch.randn(shape) / (shape[-1] ** 0.5 if len(shape) == 3 else 1)).to(dtype)
        for name, shape in op.shapes(sizes).items()
        if optional or name not in OPTIONAL
    }
    options: dict[str, Any] = {"edge_index": edge_index}
    if op.takes_loops:
        options["num_self_loops"] = num_loops
    else:
        options["num_dst"] = num_dst
    if op.takes_dropout:
        options |= {"dropout": dropout, "seed": torch.tensor([1 << 40 | 12345])}
    return Problem(op, operands, options, torch.randn(num_dst, heads, channels))


# Largest deviation from the reference in float64, with inputs and cotangents of size one and up to
# 50 edges per node. In half precision inputs are rounded alike; what is left are the roundings of
# the output and, by it, of <grad, out> in the backward.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-5, torch.bfloat16: 0.2, torch.float16: 0.03}


def assert_equals_the_reference(given: Problem, implementation: str, dtype: torch.dtype) -> None:
    expected = given.solve("reference", torch.float64)
    got = given.solve(implementation, dtype)
    assert got["output"].dtype == dtype
    for name, value in expected.items():
        torch.testing.assert_close(
            got[name].double(),
            value,
            rtol=0,
            atol=TOLERANCE[dtype],
            msg=lambda text, name=name: f"{name}: {text}",
        )


@every_op
@every_fast_path
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("heads", "channels"), [(1, 7), (8, 8), (3, 16), (2, 40), (4, 1)])
def test_equals_the_reference(
    op: Op, graph: Any, implementation: str, dtype: torch.dtype, heads: int, channels: int
) -> None:
    given = problem(op, *graph, heads=heads, channels=channels, dtype=dtype)
    assert_equals_the_reference(given, implementation, dtype)


@every_op
@every_fast_path
@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_every_instruction_set(
    op: Op, implementation: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ["portable", "avx2", "avx512"]
    if order.index(isa) > order.index(_native.instruction_set()):
        pytest.skip(f"this machine has no {isa}")
    monkeypatch.setattr(_native, "instruction_set", lambda: isa)
    edges = torch.randint(40, (2, 300))
    for heads, channels in ((8, 8), (4, 32), (1, 128), (1, 24)):
        given = problem(op, edges, 40, 40, heads=heads, channels=channels, dtype=torch.float32)
        assert_equals_the_reference(given, implementation, torch.float32)


@every_op
@every_fast_path
def test_optional_operands_may_be_absent(op: Op, graph: Any, implementation: str) -> None:
    given = problem(op, *graph, loops=False, dropout=0.0, optional=False)
    assert_equals_the_reference(given, implementation, torch.float64)


@every_op
@every_fast_path
def test_hubs_are_worked_on_in_pieces(op: Op, implementation: str) -> None:
    # One node that 15,000 edges enter, and one that they leave.
    nodes, edges = 20_000, 15_000
    spokes = torch.randperm(nodes)[:edges]
    hub = torch.full((edges,), 3)
    both = torch.stack([torch.cat([spokes, hub]), torch.cat([hub, spokes.flip(0)])])
    both = both[:, torch.randperm(2 * edges)]
    given = problem(op, both, nodes, nodes, heads=2, channels=8)
    expected = given.solve("reference", torch.float64)
    with threads(2):
        got = given.solve(implementation, torch.float64)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-10, atol=1e-10)


@every_op
@every_fast_path
def test_masked_pieces_of_a_hub(op: Op, implementation: str) -> None:
    if "score" not in op.shapes(Sizes(1, 1, 1, 1, 1)):
        pytest.skip("takes no scores")
    edges = torch.stack([torch.arange(9000), torch.zeros(9000, dtype=torch.long)])
    given = problem(op, edges, 9000, 1, dropout=0.0)
    given.operands["score"][:5000] = -torch.inf  # a whole piece and a part of the next
    assert_equals_the_reference(given, implementation, torch.float64)
    given.operands["score"].fill_(-torch.inf)
    assert (given.solve(implementation, torch.float64)["output"] == 0).all()


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Tensor, int, int]:
    num_src, num_dst = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    pairs = st.tuples(st.integers(0, num_src - 1), st.integers(0, num_dst - 1))
    dtype = draw(st.sampled_from([torch.int32, torch.int64]))
    edges = torch.tensor(draw(st.lists(pairs, max_size=60)), dtype=dtype)
    return edges.reshape(-1, 2).t(), num_src, num_dst


@every_op
@every_fast_path
@settings(max_examples=60, deadline=None)
@given(graph=graphs(), heads=st.integers(1, 5), channels=st.integers(1, 20), loops=st.booleans())
def test_any_graph(
    op: Op,
    implementation: str,
    graph: tuple[Tensor, int, int],
    heads: int,
    channels: int,
    loops: bool,
) -> None:
    given = problem(op, *graph, heads=heads, channels=channels, loops=loops)
    assert_equals_the_reference(given, implementation, torch.float64)


@every_op
@every_fast_path
def test_gradcheck(op: Op, implementation: str) -> None:
    given = problem(op, torch.tensor([[0, 1, 2, 2, 0], [1, 1, 0, 2, 2]]), 3, 3, channels=2)
    operands = [t.requires_grad_() for t in given.operands.values()]

    def run(*values: Tensor) -> Tensor:
        named = dict(zip(given.operands, values, strict=True))
        with use_implementation(implementation):
            return op.run(**named, **given.options)

    assert gradcheck(run, operands)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@every_op
@every_fast_path
def test_threads_and_runs_give_the_same_bits(op: Op, implementation: str) -> None:
    torch.manual_seed(0)
    edges = torch.randint(3000, (2, 30_000)) ** 2 // 3000
    hub = torch.stack([torch.randint(3000, (9000,)), torch.full((9000,), 7)])
    edges = torch.cat([edges, hub, hub.flip(0)], dim=1)
    given = problem(op, edges, 3000, 3000, heads=4, channels=16, dtype=torch.float32)
    runs = []
    for count in (1, 2, 3, 1):
        with threads(count):
            runs.append(given.solve(implementation, torch.float32))
    for other in runs[1:]:
        assert all(torch.equal(value, other[name]) for name, value in runs[0].items())


@every_op
@every_fast_path
def test_nothing_of_the_size_of_edges_is_saved(op: Op, implementation: str) -> None:
    nodes, edges = 10, torch.randint(10, (2, 5000))
    given = problem(op, edges, nodes, nodes, channels=8, optional=False)
    saved: list[Tensor] = []
    operands = {name: tensor.requires_grad_() for name, tensor in given.operands.items()}
    with (
        torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t),
        use_implementation(implementation),
    ):
        op.run(**operands, **given.options)
    inputs = {tensor.data_ptr() for tensor in operands.values()}
    made = [t for t in saved if t.is_floating_point() and t.data_ptr() not in inputs]
    assert max(t.numel() for t in made) == nodes * 16


@every_op
@every_fast_path
def test_every_entry_is_written(
    op: Op, graph: Any, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem(op, *graph, heads=3, channels=5)
    expected = given.solve(implementation, torch.float64)
    empty = _native.empty

    def poisoned(shape: Any, dtype: torch.dtype, *, zero: bool = False) -> Tensor:
        return empty(shape, dtype, zero=True) if zero else empty(shape, dtype).fill_(torch.nan)

    monkeypatch.setattr(_native, "empty", poisoned)
    got = given.solve(implementation, torch.float64)
    assert all(torch.equal(value, got[name]) for name, value in expected.items())


@every_op
@every_fast_path
def test_nan_stays_with_its_neighbours(op: Op, implementation: str) -> None:
    edges = torch.tensor([[0, 1, 2], [1, 0, 2]])
    given = problem(op, edges, 3, 3, loops=False, dropout=0.0, optional=False)
    next(iter(given.operands.values()))[1] = torch.nan
    out = given.solve(implementation, torch.float64)["output"]
    assert out[0].isnan().all()
    assert out[2].isfinite().all()


@every_op
@every_fast_path
def test_strided_rows(op: Op, implementation: str) -> None:
    given = problem(op, torch.randint(20, (2, 90)), 20, 20, channels=8)
    expected = given.solve(implementation, torch.float64)
    views = {
        name: torch.stack([tensor, tensor], dim=1)[:, 0] for name, tensor in given.operands.items()
    }
    assert not all(tensor.is_contiguous() for tensor in views.values())
    with use_implementation(implementation):
        out = op.run(**views, **given.options)
    assert torch.equal(out, expected["output"])


@every_op
@every_fast_path
def test_double_backward_is_refused(op: Op, implementation: str) -> None:
    given = problem(op, torch.tensor([[0, 1], [1, 2]]), 3, 3)
    operands = {name: tensor.requires_grad_() for name, tensor in given.operands.items()}
    with use_implementation(implementation):
        out = op.run(**{name: tensor.sin() for name, tensor in operands.items()}, **given.options)
    first = next(iter(operands.values()))
    (grad,) = torch.autograd.grad(out.square().sum(), first, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


@every_op
@every_fast_path
def test_compiles_without_a_graph_break(op: Op, implementation: str) -> None:
    torch._dynamo.reset()
    given = problem(op, torch.randint(20, (2, 90)), 20, 20)
    expected = given.solve(implementation, torch.float32)
    compiled = op._replace(
        run=torch.compile(op.run, fullgraph=True, dynamic=True, backend="aot_eager")
    )
    got = given._replace(op=compiled).solve(implementation, torch.float32)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, msg=lambda text, name=name: f"{name}: {text}")


@every_op
def test_inputs_of_a_wrong_kind_are_refused(op: Op) -> None:
    given = problem(op, torch.tensor([[0, 1], [1, 2]]), 3, 3)
    for name, tensor in given.operands.items():
        with pytest.raises(TypeError, match=f"'{name}' must be floating point, got torch.int64"):
            op.run(**(given.operands | {name: tensor.long()}), **given.options)
        with pytest.raises(ValueError, match=r"must be on \w+ as '\w+', got \w+"):
            op.run(**(given.operands | {name: tensor.to("meta")}), **given.options)
    meta = given.options["edge_index"].to("meta")
    with pytest.raises(ValueError, match=r"'edge_index' must be on cpu as '\w+', got meta"):
        op.run(**given.operands, **(given.options | {"edge_index": meta}))
