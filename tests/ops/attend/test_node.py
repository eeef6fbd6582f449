"""What autograd allows with torch's own ops it allows with fused ones, with the same numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

from graphattn.ops import (
    DotScore,
    GATScore,
    GATv2Score,
    GivenScore,
    Projection,
    _native,
    _triton,
    aero_attention,
    aero_propagate,
    attend,
    attention_weights,
    edge_softmax,
    sparse_linear,
    spmm,
    use_implementation,
)
from graphattn.ops.attend import cpu, node

EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 2, 0, 2], [1, 2, 2, 0, 0, 1, 0, 0, 2]])
N, H, C, E = 6, 2, 3, 9
F = 5
LOOPS = {"num_self_loops": N}
DRAW = {"dropout": 0.4, "seed": torch.tensor([7])}
SPARSE = torch.randn(N, F, generator=torch.Generator().manual_seed(3)).relu().double()

Op = Callable[..., Any]


def rand(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Projection:
    return Projection(x, weight, bias, H)


def gat_of_maps(x: Tensor, weight: Tensor, src: Tensor, dst: Tensor, bias: Tensor) -> Any:
    score = GATScore(Projection(x, weight, None, H, src), Projection(x, weight, None, H, dst))
    return attend(project(x, weight), score, EDGES, bias=bias, **LOOPS, **DRAW)


def gatv2_of_maps(x: Tensor, left: Tensor, b: Tensor, right: Tensor, att: Tensor) -> Any:
    src = project(x, left, b)
    return attend(src, GATv2Score(src, project(x, right), att), EDGES, **LOOPS)


def gatv2_of_one_map(x: Tensor, left: Tensor, b: Tensor, att: Tensor) -> Any:
    src = project(x, left, b)
    return attend(src, GATv2Score(src, src, att), EDGES, **LOOPS)


def dot_of_maps(
    x: Tensor, value: Tensor, key: Tensor, query: Tensor, root: Tensor, b: Tensor
) -> Any:
    score = DotScore(project(x, query), project(x, key, b))
    return attend(project(x, value, b), score, EDGES, bias=project(x, root, b), **DRAW)


def bipartite(x: Tensor, y: Tensor, left: Tensor, right: Tensor, att: Tensor) -> Any:
    src = project(x, left)
    score = GATv2Score(src, project(y, right), att)
    return attend(src, score, torch.tensor([[0, 1, 5, 5], [1, 0, 3, 1]]))


W = (H * C, F)
OPS: dict[str, tuple[Op, list[tuple[int, ...]]]] = {
    "gat": (
        lambda v, u, w, r, b: attend(v, GATScore(u, w, r), EDGES, bias=b, **LOOPS, **DRAW),
        [(N, H, C), (N, H), (N, H), (E + N, H), (H, C)],
    ),
    "gatv2": (
        lambda u, w, a, f, b: attend(u, GATv2Score(u, w, a, f), EDGES, bias=b, **LOOPS, **DRAW),
        [(N, H, C), (N, H, C), (H, C), (E + N, H, C), (N, H, C)],
    ),
    "gatv2 with other values": (
        lambda v, u, w, a: attend(v, GATv2Score(u, w, a), EDGES, **LOOPS, **DRAW),
        [(N, H, 2), (N, H, C), (N, H, C), (H, C)],
    ),
    "dot": (
        lambda v, q, k, f, r: attend(v, DotScore(q, k, f, r), EDGES, **DRAW),
        [(N, H, C), (N, H, C), (N, H, C), (E, H, C), (E, H)],
    ),
    "dot with narrow keys": (
        lambda v, q, k: attend(v, DotScore(q, k), EDGES),
        [(N, H, C), (N, H, 2), (N, H, 2)],
    ),
    "given": (
        lambda v, s: attend(v, GivenScore(s), EDGES, num_dst=N, **DRAW),
        [(N, H, C), (E, H)],
    ),
    "gat weights": (
        lambda u, w, r: attention_weights(GATScore(u, w, r), EDGES, **LOOPS),
        [(N, H), (N, H), (E + N, H)],
    ),
    "gatv2 weights": (
        lambda u, w, a: attention_weights(GATv2Score(u, w, a), EDGES, **LOOPS),
        [(N, H, C), (N, H, C), (H, C)],
    ),
    "dot weights": (
        lambda q, k: attention_weights(DotScore(q, k), EDGES),
        [(N, H, C), (N, H, C)],
    ),
    "both": (
        lambda v, u, w: attend(v, GATScore(u, w), EDGES, return_weights=True, **LOOPS, **DRAW),
        [(N, H, C), (N, H), (N, H)],
    ),
    "backwards": (
        lambda v, u, w: attend(v, GATScore(u, w), EDGES, flipped=True, **LOOPS),
        [(N, H, C), (N, H), (N, H)],
    ),
    "gat of maps": (gat_of_maps, [(N, F), W, (1, H, C), (1, H, C), (H, C)]),
    "gatv2 of maps": (gatv2_of_maps, [(N, F), W, (H * C,), W, (H, C)]),
    "gatv2 of one map": (gatv2_of_one_map, [(N, F), W, (H * C,), (H, C)]),
    "dot of maps": (dot_of_maps, [(N, F), W, W, W, W, (H * C,)]),
    "bipartite maps": (bipartite, [(N, F), (4, 2), W, (H * C, 2), (H, C)]),
    "spmm": (lambda x, w: spmm(x, w, EDGES, num_dst=N), [(N, H, C), (E, H)]),
    "edge_softmax": (lambda s: edge_softmax(s, EDGES[1], num_nodes=N), [(E, H)]),
    "sparse_linear": (
        lambda w, b: sparse_linear(SPARSE.to_sparse_csr().to(w.dtype), w, b),
        [(4, F), (4,)],
    ),
    "aero_attention": (lambda z, a: aero_attention(z, EDGES, a), [(N, H, C), (H, C)]),
    "aero_propagate": (
        lambda x, a, w0, w, b: aero_propagate(x, EDGES, a, w0, w, b, decay=[0.7, 0.5]),
        [(N, H, C), (2, H, C), (H, C), (2, H, 2 * C), (3, H)],
    ),
}
every_op = pytest.mark.parametrize(("op", "shapes"), OPS.values(), ids=OPS.keys())
pytestmark = [
    pytest.mark.skipif(_native.why_missing() is not None, reason="no native library"),
    pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning"),
]


def operands(shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    torch.manual_seed(0)
    return [rand(*shape).requires_grad_() for shape in shapes]


def first(out: Any) -> Tensor:
    """One number that depends on all outputs."""
    outs = out if isinstance(out, tuple) else (out,)
    total = sum((one * (0.3 + torch.arange(one.numel()).view_as(one) % 7)).sum() for one in outs)
    return total * 1.0


@every_op
def test_first_and_second_derivatives(op: Op, shapes: list[tuple[int, ...]]) -> None:
    given = operands(shapes)
    assert gradcheck(op, given)
    assert gradgradcheck(op, given, atol=1e-4)


@every_op
def test_derivatives_of_any_order_equal_those_of_the_definition(
    op: Op, shapes: list[tuple[int, ...]]
) -> None:
    found = []
    for implementation in ("cpu", "reference"):
        with use_implementation(implementation):
            given = operands(shapes)
            value = first(op(*given)).sin()
            orders = []
            for _ in range(3):
                grads = torch.autograd.grad(value, given, create_graph=True, allow_unused=True)
                orders += [one for one in grads if one is not None]
                value = sum(one.sin().sum() for one in grads if one is not None)
            found.append(orders)
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@every_op
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_nothing_of_the_caller_s_is_written(
    op: Op, shapes: list[tuple[int, ...]], dtype: torch.dtype
) -> None:
    if dtype.itemsize == 2 and any("map" in name and op is OPS[name][0] for name in OPS):
        pytest.skip("projections are of full precision")
    given = [one.detach().to(dtype).requires_grad_() for one in operands(shapes)]
    # What somebody else made and keeps, as a layer's subclass may.
    made = [one * 1 for one in given]
    before = [one.detach().clone() for one in made]
    out = op(*made)
    first(out).backward()
    for one, other in zip(made, before, strict=True):
        assert torch.equal(one, other)


@every_op
def test_outputs_may_be_changed_in_place(op: Op, shapes: list[tuple[int, ...]]) -> None:
    given = operands(shapes)

    def outputs() -> list[Tensor]:
        out = op(*given)
        return list(out) if isinstance(out, tuple) else [out]

    expected = torch.autograd.grad(sum((2 * one).relu().sum() for one in outputs()), given)
    changed = [one.mul_(2).relu_() for one in outputs()]
    got = torch.autograd.grad(sum(one.sum() for one in changed), given)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert all(one.is_contiguous() for one in changed)


@every_op
def test_a_kept_graph_gives_the_same_again(op: Op, shapes: list[tuple[int, ...]]) -> None:
    given = operands(shapes)
    value = first(op(*given))
    one, two, three = (
        torch.autograd.grad(value, given, retain_graph=keep) for keep in (True, True, False)
    )
    for a, b, c in zip(one, two, three, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


@every_op
def test_saved_tensors_of_hooks_stay_as_they_are(op: Op, shapes: list[tuple[int, ...]]) -> None:
    given = operands(shapes)
    seen: list[tuple[Tensor, Tensor]] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided:
            seen.append((tensor, tensor.detach().clone()))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = first(op(*given))
    value.backward()
    assert all(torch.equal(one, copy) for one, copy in seen)


@every_op
def test_one_operand_alone_may_need_a_gradient(op: Op, shapes: list[tuple[int, ...]]) -> None:
    expected = torch.autograd.grad(first(op(*(given := operands(shapes)))), given)
    for k, grad in enumerate(expected):
        alone = [one.detach() for one in given]
        alone[k] = alone[k].requires_grad_()
        (got,) = torch.autograd.grad(first(op(*alone)), alone[k])
        torch.testing.assert_close(got, grad)


@every_op
def test_func_transforms(op: Op, shapes: list[tuple[int, ...]]) -> None:
    given = [one.detach() for one in operands(shapes)]

    def value(*inputs: Tensor) -> Tensor:
        return first(op(*inputs))

    if op is OPS["sparse_linear"][0]:
        pytest.skip("torch itself has no transforms of sparse matrices")
    leaves = [one.clone().requires_grad_() for one in given]
    expected = torch.autograd.grad(value(*leaves), leaves)
    places = tuple(range(len(given)))
    for one, other in zip(torch.func.grad(value, places)(*given), expected, strict=True):
        torch.testing.assert_close(one, other)
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        for one, other in zip(transform(value, places)(*given), expected, strict=True):
            torch.testing.assert_close(one, other)
    stacked = [torch.stack([one, 2 * one]) for one in given]
    values = torch.func.vmap(value)(*stacked)
    torch.testing.assert_close(values[0], value(*given))
    torch.testing.assert_close(values[1], value(*(2 * one for one in given)))


@every_op
def test_forward_mode_and_batched_gradients(op: Op, shapes: list[tuple[int, ...]]) -> None:
    if op is OPS["sparse_linear"][0]:
        pytest.skip("torch itself has neither for sparse matrices")
    given = operands(shapes)
    grads = torch.autograd.grad(first(op(*given)), given)
    tangents = [torch.ones_like(one) for one in given]
    with forward_ad.dual_level():
        dual = [
            forward_ad.make_dual(one.detach(), tangent)
            for one, tangent in zip(given, tangents, strict=True)
        ]
        tangent = forward_ad.unpack_dual(first(op(*dual))).tangent
    torch.testing.assert_close(tangent, sum(one.sum() for one in grads))
    value = first(op(*given)).view(1)
    batched = torch.autograd.grad(
        value, given, torch.tensor([[1.0], [-2.0]]).double(), is_grads_batched=True
    )
    for one, grad in zip(batched, grads, strict=True):
        torch.testing.assert_close(one, torch.stack([grad, -2 * grad]))


@every_op
def test_checkpoints_and_where_they_run(op: Op, shapes: list[tuple[int, ...]]) -> None:
    given = operands(shapes)
    expected = torch.autograd.grad(first(op(*given)), given)
    for reentrant in (False, True):
        value = checkpoint(lambda *inputs: first(op(*inputs)), *given, use_reentrant=reentrant)
        for one in given:
            one.grad = None
        value.backward()
        for one, grad in zip(given, expected, strict=True):
            torch.testing.assert_close(one.grad, grad)


@every_op
def test_compiles_with_its_backward(op: Op, shapes: list[tuple[int, ...]]) -> None:
    if op is OPS["sparse_linear"][0]:
        pytest.skip("torch.compile does not take sparse matrices")
    given = operands(shapes)
    expected = torch.autograd.grad(first(op(*given)), given)
    torch._dynamo.reset()
    compiled = torch.compile(op, fullgraph=True, backend="aot_eager")
    got = torch.autograd.grad(first(compiled(*given)), given)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["gat", "gatv2", "dot", "given", "spmm", "both"])
def test_interpreted_kernels_too(name: str) -> None:
    if not _triton.interprets():
        pytest.skip(_triton.why_missing() or "Triton does not interpret here")
    op, shapes = OPS[name]
    found = []
    for implementation in ("gpu", "reference"):
        with use_implementation(implementation):
            given = operands(shapes)
            grads = torch.autograd.grad(first(op(*given)).sin(), given, create_graph=True)
            second = torch.autograd.grad(sum((one**2).sum() for one in grads), given)
            found.append([*grads, *second])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["gat", "gatv2", "dot", "gat of maps", "aero_propagate"])
def test_tracing_is_refused_with_a_way_out(name: str) -> None:
    op, shapes = OPS[name]
    with pytest.raises(RuntimeError, match=r"torch\.jit\.trace.* torch\.export"):
        torch.jit.trace(op, tuple(one.detach() for one in operands(shapes)), check_trace=False)


@pytest.mark.parametrize("name", ["gat", "gatv2", "dot"])
def test_exports(name: str) -> None:
    op, shapes = OPS[name]
    given = tuple(one.detach() for one in operands(shapes))

    class Module(torch.nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            out: Tensor = op(*inputs)
            return out

    exported = torch.export.export(Module(), given)
    torch.testing.assert_close(exported.module()(*given), op(*given))
    assert not any("graphattn" in str(node.target) for node in exported.graph.nodes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("name", ["gat", "gatv2", "dot"])
def test_a_bias_costs_no_digits_in_half_precision(
    name: str, size: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    edges = torch.randint(20, (2, 150))
    values, src, dst = (torch.randn(20, 2, 8).to(dtype) for _ in range(3))
    u, w, att = (torch.randn(shape).to(dtype) for shape in ((20, 2), (20, 2), (2, 8)))
    bias, cotangent = size * torch.randn(2, 8), torch.randn(20, 2, 8).to(dtype)

    def grads(dtype: torch.dtype) -> list[Tensor]:
        v, s, d, a, b, c = (t.to(dtype).requires_grad_() for t in (values, src, dst, u, w, att))
        score, leaves = {
            "gat": lambda: (GATScore(a, b), [v, a, b]),
            "gatv2": lambda: (GATv2Score(v, d, c), [v, d, c]),
            "dot": lambda: (DotScore(d, s), [v, d, s]),
        }[name]()
        out = attend(v, score, edges, bias=bias.to(dtype), num_self_loops=20)
        return list(torch.autograd.grad(out, leaves, cotangent.to(out.dtype)))

    for one, exact in zip(grads(dtype), grads(torch.float64), strict=True):
        error = (one.double() - exact).norm() / exact.norm()
        assert error < (0.01 if dtype == torch.bfloat16 else 0.002)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_cancels_exactly_is_zero(dtype: torch.dtype) -> None:
    # A node with one edge has the coefficient 1, whatever its score and the dropout.
    torch.manual_seed(0)
    edges = torch.stack([torch.randperm(50), torch.arange(50)])
    bias = torch.randn(50, 2, 8).to(dtype)
    for dropout in (0.0, 0.99):
        x, u, w = (torch.randn(50, 2, *s).to(dtype) for s in ((8,), (), ()))
        given = [x.requires_grad_(), (100 * u).requires_grad_(), (100 * w).requires_grad_()]
        out = attend(x, GATScore(*given[1:]), edges, bias=bias, dropout=dropout)
        out.backward(torch.randn(out.shape).to(dtype))
        # Dropout scales sums and products alike, up to the last bit in float32.
        bound = 0.0 if dropout == 0.0 else 1e-3
        assert given[1].grad.abs().max() <= bound
        assert given[2].grad.abs().max() <= bound


@pytest.mark.parametrize("shape", [(6, 0, 4), (6, 2, 0)])
def test_no_heads_or_channels(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, requires_grad=True)
    u = torch.randn(shape[:2], requires_grad=True)
    att = torch.randn(shape[1:], requires_grad=True)
    score = torch.randn(E, shape[1], requires_grad=True)
    for out in (
        attend(x, GATScore(u, u), EDGES, **LOOPS),
        attend(x, GATv2Score(x, x, att), EDGES, **LOOPS),
        attend(x, DotScore(x, x), EDGES),
        attend(x, GivenScore(score), EDGES, num_dst=N),
        spmm(x, score, EDGES, num_dst=N),
    ):
        assert out.shape == shape
        out.sum().backward()
    assert edge_softmax(score, EDGES[1], num_nodes=N).shape == (E, shape[1])


def test_marks_of_negation_are_seen() -> None:
    torch.manual_seed(0)
    x, u = torch.randn(N, H, C), torch.randn(N, H)
    negated = torch._neg_view(x)
    expected = attend(-x, GATScore(u, u), EDGES)
    torch.testing.assert_close(attend(negated, GATScore(u, u), EDGES), expected)
    conjugated = torch.complex(x, -x).conj().imag
    assert conjugated.is_neg()
    torch.testing.assert_close(attend(conjugated, GATScore(u, u), EDGES), -expected * -1 * -1)
    out = attend(x.requires_grad_(), GATScore(u, u), EDGES)
    out.backward(torch._neg_view(torch.ones_like(out)))
    (plus,) = torch.autograd.grad(attend(x, GATScore(u, u), EDGES).sum(), x)
    torch.testing.assert_close(x.grad, -plus)


if os.environ.get("GRAPHATTN_IMPLEMENTATION"):  # these tests choose for themselves
    pytestmark.append(pytest.mark.skip(reason="an implementation was asked for"))


@pytest.mark.parametrize("changed", ["edges", "seed"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_edges_and_seed_may_not_change_before_backward(changed: str, create_graph: bool) -> None:
    x, u = rand(N, H, C).requires_grad_(), rand(N, H)
    edges, seed = EDGES.clone(), torch.tensor([7])
    out = attend(x, GATScore(u, u), edges, dropout=0.4, seed=seed)
    (edges if changed == "edges" else seed).add_(0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(out.sum(), x, create_graph=create_graph)


@pytest.mark.parametrize("name", [name for name in OPS if "map" in name])
@pytest.mark.parametrize("bound", [0, 1 << 60])
def test_projections_may_be_computed_again_and_backward_in_parts(
    name: str, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    op, shapes = OPS[name]
    given = operands(shapes)
    expected = torch.autograd.grad(first(op(*given)), given)
    monkeypatch.setattr(node, "_DENSE", bound)
    monkeypatch.setattr(_native, "SCATTERED", 0)
    value = first(op(*given))
    for keep in (True, True, False):
        got = torch.autograd.grad(value, given, retain_graph=keep)
        for one, other in zip(got, expected, strict=True):
            assert torch.equal(one, other)
    monkeypatch.setattr(cpu, "in_one_part", lambda call: False)
    got = torch.autograd.grad(first(op(*given)), given)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_private_memory_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "HUGE", 1)
    monkeypatch.setattr(_native, "_spare", [])
    op, shapes = OPS["gat of maps"]
    given = operands(shapes)
    runs = [torch.autograd.grad(first(op(*given)), given) for _ in range(3)]
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))
    kept = len(_native._spare)
    assert kept > 0
    torch.autograd.grad(first(op(*given)), given)
    assert len(_native._spare) == kept
    with torch.no_grad():
        op(*given)
    assert len(_native._spare) == kept
    # What the caller gets is never taken back.
    outs = [op(*given) for _ in range(3)]
    assert len({out.untyped_storage().data_ptr() for out in outs}) == 3
    monkeypatch.setattr(_native, "SPARE_BYTES", 0)
    torch.autograd.grad(first(op(*given)), given)
    assert _native._spare == []
