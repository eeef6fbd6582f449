"""What holds for every fused attention op: it equals its reference, whatever it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from graphattn.ops import (
    DotScore,
    GATScore,
    GATv2Score,
    GivenScore,
    Score,
    _native,
    _triton,
    attend,
    attention_weights,
    spmm,
    use_implementation,
)
from graphattn.ops.attend import cpu, gpu, node

NO_NATIVE = pytest.mark.skipif(_native.why_missing() is not None, reason="no native library")
# With a CUDA device `tests/gpu` runs them on that.
NO_TRITON = pytest.mark.skipif(
    not _triton.interprets(), reason=_triton.why_missing() or "Triton does not interpret here"
)
CPU = pytest.param("cpu", marks=NO_NATIVE)
every_fast_path = pytest.mark.parametrize(
    "implementation", [CPU, pytest.param("gpu", marks=NO_TRITON)]
)
native_alone = pytest.mark.parametrize("implementation", [CPU])
# NumPy, on which the interpreter runs, warns of sums that overflow or are no numbers, as some must.
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")


class Sizes(NamedTuple):
    num_src: int
    num_dst: int
    rows: int  # edges and self-loops
    heads: int
    channels: int


class Op(NamedTuple):
    """An op, and the shapes of its operands by name."""

    run: Callable[..., Any]
    shapes: Callable[[Sizes], dict[str, tuple[int, ...]]]
    takes_loops: bool = True
    is_attention: bool = True


def gat(values: Tensor, src: Tensor, dst: Tensor, edge: Tensor | None = None, **others: Any) -> Any:
    return attend(values, GATScore(src, dst, edge), **others)


def gatv2(
    src: Tensor, dst: Tensor, att: Tensor, edge_x: Tensor | None = None, **others: Any
) -> Any:
    return attend(src, GATv2Score(src, dst, att, edge_x), **others)


def dot(
    values: Tensor,
    query: Tensor,
    key: Tensor,
    edge_x: Tensor | None = None,
    edge_score: Tensor | None = None,
    **others: Any,
) -> Any:
    return attend(values, DotScore(query, key, edge_x, edge_score), **others)


def given_score(values: Tensor, score: Tensor, **others: Any) -> Any:
    return attend(values, GivenScore(score), **others)


OPS = {
    "gat": Op(
        gat,
        lambda s: {
            "values": (s.num_src, s.heads, s.channels),
            "src": (s.num_src, s.heads),
            "dst": (s.num_dst, s.heads),
            "edge": (s.rows, s.heads),
            "bias": (s.heads, s.channels),
        },
    ),
    "gatv2": Op(
        gatv2,
        lambda s: {
            "src": (s.num_src, s.heads, s.channels),
            "dst": (s.num_dst, s.heads, s.channels),
            "att": (s.heads, s.channels),
            "edge_x": (s.rows, s.heads, s.channels),
            "bias": (s.heads, s.channels),
        },
    ),
    "dot": Op(
        dot,
        lambda s: {
            "values": (s.num_src, s.heads, s.channels),
            "query": (s.num_dst, s.heads, s.channels),
            "key": (s.num_src, s.heads, s.channels),
            "edge_x": (s.rows, s.heads, s.channels),
            "edge_score": (s.rows, s.heads),
            "bias": (s.num_dst, s.heads, s.channels),  # the other form of a bias
        },
    ),
    "given": Op(
        given_score,
        lambda s: {
            "values": (s.num_src, s.heads, s.channels),
            "score": (s.rows, s.heads),
            "bias": (s.heads, s.channels),
        },
    ),
    "spmm": Op(
        spmm,
        lambda s: {"x": (s.num_src, s.heads, s.channels), "weight": (s.rows, s.heads)},
        takes_loops=False,
        is_attention=False,
    ),
}
OPTIONAL = {"edge", "edge_score", "edge_x", "bias"}
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
    if "dst" not in operands and "query" not in operands:
        options["num_dst"] = num_dst
    if op.is_attention:
        options |= {"dropout": dropout, "seed": torch.tensor([1 << 40 | 12345])}
    return Problem(op, operands, options, torch.randn(num_dst, heads, channels))


# Largest deviation from the reference in float64, with inputs and cotangents of size one and up to
# 50 edges per node. In half precision inputs are rounded alike; what is left is the rounding of the
# output and of the gradients.
TOLERANCE = {
    torch.float64: {"rtol": 0, "atol": 1e-12},
    torch.float32: {"rtol": 0, "atol": 5e-5},
    torch.bfloat16: {"rtol": 0.01, "atol": 0.03},
    torch.float16: {"rtol": 0.002, "atol": 0.004},
}


def assert_equals_the_reference(given: Problem, implementation: str, dtype: torch.dtype) -> None:
    expected = given.solve("reference", torch.float64)
    got = given.solve(implementation, dtype)
    assert got["output"].dtype == dtype
    for name, value in expected.items():
        torch.testing.assert_close(
            got[name].double(),
            value,
            **TOLERANCE[dtype],
            msg=lambda text, name=name: f"{name}: {text}",
        )


def skip_what_takes_long(implementation: str, graph: Any) -> None:
    """The interpreter runs a thousand programs a second."""
    if implementation == "gpu" and graph.num_src > 10:
        pytest.skip("slow in the interpreter; there are smaller hubs below")


def few_edges(implementation: str) -> tuple[Tensor, int, int]:
    nodes, edges = (5, 12) if implementation == "gpu" else (20, 90)
    return torch.randint(nodes, (2, edges)), nodes, nodes


SHAPES = [(1, 7), (8, 8), (3, 16), (2, 40), (4, 1)]
CASES = [
    *(pytest.param("cpu", t, *s, marks=NO_NATIVE) for t, s in product(TOLERANCE, SHAPES)),
    *(pytest.param("gpu", t, *s, marks=NO_TRITON) for t, s in zip(TOLERANCE, SHAPES, strict=False)),
]


@every_op
@pytest.mark.parametrize(("implementation", "dtype", "heads", "channels"), CASES)
def test_equals_the_reference(
    op: Op, graph: Any, implementation: str, dtype: torch.dtype, heads: int, channels: int
) -> None:
    skip_what_takes_long(implementation, graph)
    given = problem(op, *graph, heads=heads, channels=channels, dtype=dtype)
    assert_equals_the_reference(given, implementation, dtype)


@every_op
@native_alone
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


ISAS = ["portable", "avx2", "avx512"]


@every_op
@native_alone
@pytest.mark.parametrize(
    ("heads", "channels"), [(8, 8), (1, 128), (4, 32), (1, 24), (3, 7), (5, 1)]
)
def test_instruction_sets_give_the_same_bits(
    op: Op, implementation: str, heads: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ISAS[: ISAS.index(_native.instruction_set()) + 1]
    edges = torch.randint(40, (2, 300))
    given = problem(op, edges, 40, 40, heads=heads, channels=channels, dtype=torch.float32)
    runs = []
    for isa in here:
        monkeypatch.setattr(_native, "instruction_set", lambda isa=isa: isa)
        runs.append(given.solve(implementation, torch.float32))
    for other in runs[1:]:
        assert all(torch.equal(value, other[name]) for name, value in runs[0].items())


@every_op
@every_fast_path
def test_optional_operands_may_be_absent(op: Op, graph: Any, implementation: str) -> None:
    skip_what_takes_long(implementation, graph)
    given = problem(op, *graph, loops=False, dropout=0.0, optional=False)
    assert_equals_the_reference(given, implementation, torch.float64)


@every_op
@every_fast_path
def test_hubs_are_worked_on_in_pieces(
    op: Op, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One node that 15,000 edges enter, and one that they leave.
    nodes, edges = 20_000, 15_000
    if implementation == "gpu":
        nodes, edges = 12, 9
        monkeypatch.setattr(gpu, "PIECE", 4)
        monkeypatch.setattr(gpu, "WIDEST", 8)  # a row is shared out by heads, too
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


SCORES: dict[str, Callable[[dict[str, Tensor]], Score]] = {
    "gat": lambda t: GATScore(t["src"], t["dst"], t["edge"]),
    "gatv2": lambda t: GATv2Score(t["src"], t["dst"], t["att"], t["edge_x"]),
    "dot": lambda t: DotScore(t["query"], t["key"], t["edge_x"], t["edge_score"]),
    "given": lambda t: GivenScore(t["score"]),
}
Weighted = Callable[[dict[str, Tensor]], tuple[Tensor | None, Tensor]]


def weighted(given: Problem, name: str, *, alone: bool) -> Weighted:
    """Sums and coefficients of operands, or the coefficients alone."""
    if not alone:
        return lambda t: given.op.run(**t, **given.options, return_weights=True)
    names = ("edge_index", "num_dst", "num_self_loops")
    options = {k: v for k, v in given.options.items() if k in names}
    return lambda t: (None, attention_weights(SCORES[name](t), **options))


def gradients(given: Problem, run: Weighted, implementation: str) -> dict[str, Tensor]:
    operands = {k: t.clone().requires_grad_() for k, t in given.operands.items()}
    torch.manual_seed(2)
    with use_implementation(implementation):
        out, alpha = run(operands)
    loss = (alpha * torch.randn(alpha.shape).to(alpha)).sum()
    if out is not None:
        loss = loss + (out * given.cotangent.to(out)).sum()
    loss.backward()
    return {k: t.grad for k, t in operands.items() if t.grad is not None}


every_score = pytest.mark.parametrize("name", SCORES)
together_and_alone = pytest.mark.parametrize("alone", [False, True])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@together_and_alone
@every_score
@every_fast_path
def test_gradients_of_coefficients(
    implementation: str,
    name: str,
    alone: bool,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Rows and columns that are cut and some that are not, heads that are shared out.
    for constant, value in (("PIECE", 4), ("WIDEST", 4)):
        monkeypatch.setattr(gpu, constant, value)
    edges = torch.stack([torch.arange(16) % 5, torch.arange(16) // 4 % 3])
    edges[:, 10:] = torch.tensor([[4], [1]])
    given = problem(OPS[name], edges, 5, 4, channels=3, dtype=dtype)
    doubled = given._replace(operands={k: t.double() for k, t in given.operands.items()})
    expected = gradients(doubled, weighted(doubled, name, alone=alone), "reference")

    def refuse(*_: Any) -> None:
        raise AssertionError("these are the gradients of the definition")

    monkeypatch.setattr(node, "gradients_by_definition", refuse)
    got = gradients(given, weighted(given, name, alone=alone), implementation)
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(
            got[key].double(), value, **TOLERANCE[dtype], msg=lambda text, key=key: f"{key}: {text}"
        )


@together_and_alone
@every_score
@every_fast_path
def test_compiled_gradients_of_coefficients(implementation: str, name: str, alone: bool) -> None:
    torch._dynamo.reset()
    given = problem(OPS[name], *few_edges(implementation))
    run = weighted(given, name, alone=alone)
    expected = gradients(given, run, "reference")
    compiled = torch.compile(run, fullgraph=True, dynamic=True, backend="aot_eager")
    got = gradients(given, compiled, implementation)
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, msg=lambda text, key=key: f"{key}: {text}")


@every_op
@every_fast_path
def test_masked_pieces_of_a_hub(
    op: Op, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "score" not in op.shapes(Sizes(1, 1, 1, 1, 1)):
        pytest.skip("takes no scores")
    scale = 1
    if implementation == "gpu":
        scale = 200
        monkeypatch.setattr(gpu, "PIECE", 4096 // scale)
    degree = 9000 // scale
    edges = torch.stack([torch.arange(degree), torch.zeros(degree, dtype=torch.long)])
    given = problem(op, edges, degree, 1, dropout=0.0, loops=False, optional=False)
    # A whole piece and a part of the next.
    given.operands["score"][: 5000 // scale] = -torch.inf
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


any_problem = given(
    graph=graphs(), heads=st.integers(1, 5), channels=st.integers(1, 20), loops=st.booleans()
)


@every_op
@NO_NATIVE
@settings(max_examples=60, deadline=None)
@any_problem
def test_any_graph(
    op: Op, graph: tuple[Tensor, int, int], heads: int, channels: int, loops: bool
) -> None:
    given = problem(op, *graph, heads=heads, channels=channels, loops=loops)
    assert_equals_the_reference(given, "cpu", torch.float64)


@every_op
@NO_TRITON
@settings(max_examples=5, deadline=None)
@any_problem
def test_any_graph_interpreted(
    op: Op, graph: tuple[Tensor, int, int], heads: int, channels: int, loops: bool
) -> None:
    given = problem(op, *graph, heads=heads, channels=channels, loops=loops)
    assert_equals_the_reference(given, "gpu", torch.float64)


@every_op
@NO_NATIVE
@NO_TRITON
def test_the_same_coefficients_are_dropped(op: Op) -> None:
    if not op.is_attention:
        pytest.skip("drops nothing")
    # All coefficients alike, and features that name their edge: the output is the mask.
    edges = torch.stack([torch.arange(16), torch.arange(16) // 8])
    for dropout in (0.3, 0.7, 1.0):
        given = problem(op, edges, 16, 2, loops=False, dropout=dropout, channels=16, optional=False)
        for name, tensor in given.operands.items():
            tensor.zero_()
            if tensor.dim() == 3 and name in ("values", "src"):
                tensor.copy_(torch.eye(16).unsqueeze(1).expand_as(tensor))
        for seed in (-1, (1 << 62) + 3):
            given.options["seed"] = torch.tensor([seed])
            outputs = []
            for implementation in ("cpu", "gpu"):
                with use_implementation(implementation):
                    outputs.append(op.run(**given.operands, **given.options))
            assert torch.equal(*(out == 0 for out in outputs))


@every_op
@native_alone
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
@native_alone
def test_threads_and_runs_give_the_same_bits(op: Op, implementation: str) -> None:
    torch.manual_seed(0)
    edges = torch.randint(3000, (2, 30_000)) ** 2 // 3000
    hub = torch.stack([torch.randint(3000, (9000,)), torch.full((9000,), 7)])
    edges = torch.cat([edges, hub, hub.flip(0)], dim=1)
    given = problem(op, edges, 3000, 3000, heads=4, channels=16, dtype=torch.float32)
    runs = []
    for count in (1, 2, 3, 4, 8, 1):
        with threads(count):
            runs.append(given.solve(implementation, torch.float32))
    for other in runs[1:]:
        assert all(torch.equal(value, other[name]) for name, value in runs[0].items())


@every_op
@NO_TRITON
def test_interpreted_runs_give_the_same_bits(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PIECE", 8)
    given = problem(op, torch.randint(3, (2, 30)), 4, 4, dtype=torch.float32)
    first, second = (given.solve("gpu", torch.float32) for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@every_op
@every_fast_path
def test_nothing_of_the_size_of_edges_is_saved(op: Op, implementation: str) -> None:
    nodes, count = (4, 400) if implementation == "gpu" else (10, 5000)
    edges = torch.randint(nodes, (2, count))
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
    assert max(t.numel() for t in made) <= nodes * 16


@every_op
@native_alone
def test_backward_in_parts(op: Op, implementation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Room for a part of the edges only: blocks of 64 destinations one after the other.
    edges = torch.randint(300, (2, 4000))
    given = problem(op, edges, 300, 300, heads=2, channels=8)
    expected = given.solve("reference", torch.float64)
    monkeypatch.setattr(cpu, "SCRATCH_BYTES", 1500 * 2 * 8)
    got = given.solve(implementation, torch.float64)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-10, atol=1e-10)


def poisoned(empty: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same, but NaN stands where nothing was asked for."""

    def fill(*args: Any, zero: bool = False) -> Tensor:
        return empty(*args, zero=True) if zero else empty(*args).fill_(torch.nan)

    return fill


@every_op
@every_fast_path
def test_every_entry_is_written(
    op: Op, graph: Any, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_what_takes_long(implementation, graph)
    given = problem(op, *graph, heads=3, channels=5)
    expected = given.solve(implementation, torch.float64)
    for module in (_native, gpu):
        monkeypatch.setattr(module, "empty", poisoned(module.empty))
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
    given = problem(op, *few_edges(implementation), channels=8)
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
def test_compiles_without_a_graph_break(op: Op, implementation: str) -> None:
    torch._dynamo.reset()
    given = problem(op, *few_edges(implementation))
    expected = given.solve(implementation, torch.float32)
    compiled = op._replace(
        run=torch.compile(op.run, fullgraph=True, dynamic=True, backend="aot_eager")
    )
    got = given._replace(op=compiled).solve(implementation, torch.float32)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.skipif(_triton.why_missing() is not None, reason="triton is not installed")
def test_kernels_compile_where_there_is_no_gpu(tmp_path: Path) -> None:
    script = Path(__file__).with_name("compiled_kernels.py")
    environment = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, script], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "backward_destinations compiled" in done.stdout


@every_op
def test_inputs_of_a_wrong_kind_are_refused(op: Op) -> None:
    given = problem(op, torch.tensor([[0, 1], [1, 2]]), 3, 3)
    for name, tensor in given.operands.items():
        with pytest.raises(
            TypeError, match=f"'(values|{name})' must be floating point, got torch.int64"
        ):
            op.run(**(given.operands | {name: tensor.long()}), **given.options)
        with pytest.raises(ValueError, match=r"must be on \w+ as '\w+', got \w+"):
            op.run(**(given.operands | {name: tensor.to("meta")}), **given.options)
    meta = given.options["edge_index"].to("meta")
    with pytest.raises(ValueError, match=r"'edge_index' must be on cpu as '\w+', got meta"):
        op.run(**given.operands, **(given.options | {"edge_index": meta}))
