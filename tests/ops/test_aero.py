from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import elu

from graphattn.ops import _native, aero_attention, aero_propagate, use_implementation

native = pytest.mark.skipif(
    _native.why_missing() is not None, reason="the native library was not built"
)
IMPLEMENTATIONS = ["reference", pytest.param("cpu", marks=native)]


def weights(
    steps: int, heads: int, channels: int, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    torch.manual_seed(1)
    shapes = {
        "att": (steps, heads, channels),
        "hop_att_0": (heads, channels),
        "hop_att": (steps, heads, 2 * channels),
        "hop_bias": (steps + 1, heads),
    }
    return {n: torch.randn(shape, dtype=dtype) / channels**0.5 for n, shape in shapes.items()}


def slow_attention(z: Tensor, edges: Tensor, att: Tensor) -> Tensor:
    """Edge by edge, from the equations. ``[E, H]``."""
    pairs = edges.t().tolist()
    u = []
    for j, i in pairs:
        score = (att * elu(z[i] + z[j])).sum(-1)
        u.append(torch.log1p(score.exp()) + 1e-6)
    total: dict[int, Any] = {}
    for (_, i), weight in zip(pairs, u, strict=True):
        total[i] = total.get(i, 0.0) + weight
    rows = [
        weight * total[j] ** -0.5 * total[i] ** -0.5 if j in total else torch.zeros_like(weight)
        for (j, i), weight in zip(pairs, u, strict=True)
    ]
    return torch.stack(rows) if rows else z.new_zeros(0, z.size(1))


def slow_propagate(x: Tensor, edges: Tensor, decay: list[float], **given: Tensor) -> Tensor:
    """With dense adjacency matrices. ``[N, H, C]``."""
    gamma = torch.einsum("nhc,hc->nh", elu(x), given["hop_att_0"]) + given["hop_bias"][0]
    h, z = x, gamma[..., None] * x
    for k, factor in enumerate(decay):
        zt = factor * z
        alpha = slow_attention(zt, edges, given["att"][k])
        dense = x.new_zeros(x.size(0), x.size(0), x.size(1))
        dense = dense.index_put((edges[1], edges[0]), alpha, accumulate=True)
        h = torch.einsum("ijh,jhc->ihc", dense, h)
        seen = elu(torch.cat([h, zt], dim=-1))
        gamma = torch.einsum("nhc,hc->nh", seen, given["hop_att"][k]) + given["hop_bias"][k + 1]
        z = z + gamma[..., None] * h
    return z


def outcome(x: Tensor, edges: Tensor, decay: list[float], given: dict[str, Tensor]) -> list[Tensor]:
    """Result and all gradients of a fixed random sum."""
    leaves = {name: t.detach().clone().requires_grad_() for name, t in {"x": x, **given}.items()}
    z = aero_propagate(edge_index=edges, decay=decay, **leaves)
    torch.manual_seed(5)
    z.backward(torch.randn(z.shape, dtype=torch.float64).to(z.dtype))
    return [z.detach(), *(leaf.grad for leaf in leaves.values() if leaf.numel() > 0)]


def square(graph: Any) -> Any:
    """Bipartite graphs are not for this op; take all nodes as one kind."""
    nodes = max(graph.num_src, graph.num_dst)
    return graph._replace(num_src=nodes, num_dst=nodes)


def undirected(graph: Any) -> Any:
    both = torch.cat([graph.edge_index, graph.edge_index.flip(0)], dim=1)
    return graph._replace(edge_index=both)


@pytest.fixture(params=["directed", "undirected"])
def nodes(request: pytest.FixtureRequest, graph: Any) -> Any:
    """The graphs of all ops, as they are and with the reverse of every edge."""
    return square(graph) if request.param == "directed" else undirected(square(graph))


def test_attention_equals_an_edge_by_edge_computation(nodes: Any) -> None:
    torch.manual_seed(0)
    z = torch.randn(nodes.num_src, 2, 3, dtype=torch.float64)
    att = torch.randn(2, 3, dtype=torch.float64)
    alpha = aero_attention(z, nodes.edge_index, att)
    expected = slow_attention(z, nodes.edge_index, att)
    torch.testing.assert_close(alpha, expected, rtol=0, atol=1e-14)
    assert (alpha >= 0).all()


def test_attention_of_large_scores() -> None:
    z = torch.full((2, 1, 1), 500.0, dtype=torch.float64).requires_grad_()
    edges = torch.tensor([[0, 1, 1], [1, 0, 1]])
    for sign, expected in ((1.0, [1000.0, 1000.0]), (-1.0, [1e-6, 1e-6])):
        att = torch.full((1, 1), sign, dtype=torch.float64)
        alpha = aero_attention(z, edges, att)
        u, loop = expected
        by_hand = [u / math.sqrt(u * (u + loop))] * 2 + [loop / (u + loop)]
        torch.testing.assert_close(alpha.flatten(), torch.tensor(by_hand).double())
        alpha.sum().backward()
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("heads", "channels"), [(1, 16), (2, 3), (3, 40)])
def test_propagation_equals_dense_matrices(
    nodes: Any, heads: int, channels: int, implementation: str
) -> None:
    torch.manual_seed(0)
    x = torch.randn(nodes.num_src, heads, channels, dtype=torch.float64)
    given, decay = weights(3, heads, channels), [0.9, 0.6, 0.3]
    leaves = [t.clone().requires_grad_() for t in (x, *given.values())]
    used = [leaf for leaf in leaves if leaf.numel() > 0]
    expected = slow_propagate(
        leaves[0], nodes.edge_index, decay, **dict(zip(given, leaves[1:], strict=True))
    )
    torch.manual_seed(5)
    cotangent = torch.randn(expected.shape, dtype=torch.float64)
    # Without an edge, nothing reaches the scorers of edges.
    grads = torch.autograd.grad(
        expected, used, cotangent, allow_unused=True, materialize_grads=True
    )
    with use_implementation(implementation):
        got = outcome(x, nodes.edge_index, decay, given)
    for one, other in zip(got, [expected.detach(), *grads], strict=True):
        scale = float(other.abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12 * max(scale, 1.0))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_steps(implementation: str) -> None:
    torch.manual_seed(0)
    x, given = torch.randn(4, 2, 3, dtype=torch.float64), weights(0, 2, 3)
    edges = torch.tensor([[0, 1], [1, 2]])
    with use_implementation(implementation):
        z, x_grad, hop_grad, bias_grad = outcome(x, edges, [], given)
    torch.testing.assert_close(z, slow_propagate(x, edges, [], **given))
    assert all((grad != 0).all() for grad in (x_grad, hop_grad, bias_grad))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradcheck(implementation: str) -> None:
    torch.manual_seed(0)
    edges = torch.tensor([[0, 1, 2, 3, 3, 2, 2, 0], [1, 2, 0, 0, 0, 2, 2, 4]])
    given = weights(2, 2, 3)
    leaves = [
        t.requires_grad_() for t in (torch.randn(6, 2, 3, dtype=torch.float64), *given.values())
    ]

    def run(*leaves: Tensor) -> Tensor:
        return aero_propagate(leaves[0], edges, *leaves[1:], decay=[0.7, 0.4])

    with use_implementation(implementation):
        assert gradcheck(run, leaves)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_edges_in_any_order_and_narrow_indices(implementation: str) -> None:
    torch.manual_seed(0)
    edges = torch.randint(0, 30, (2, 120))
    edges = torch.cat([edges, edges.flip(0)], dim=1)
    x, given = torch.randn(30, 1, 16, dtype=torch.float64), weights(4, 1, 16)
    with use_implementation(implementation):
        expected = outcome(x, edges, [0.5] * 4, given)
        mixed = edges[:, torch.randperm(240)]
        for form in (mixed, mixed.int(), mixed.t().contiguous().t()):
            for got, want in zip(outcome(x, form, [0.5] * 4, given), expected, strict=True):
                torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_slice_of_a_wider_array(implementation: str) -> None:
    torch.manual_seed(0)
    edges, given = torch.randint(0, 9, (2, 30)), weights(2, 2, 5)
    wide = torch.randn(9, 3, 10, dtype=torch.float64)
    with use_implementation(implementation):
        z = aero_propagate(wide[:, 1:, ::2], edges, decay=[0.5, 0.5], **given)
        same = aero_propagate(wide[:, 1:, ::2].contiguous(), edges, decay=[0.5, 0.5], **given)
    assert torch.equal(z, same)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    edges = torch.randint(0, 30, (2, 200))
    x, given = torch.randn(30, 1, 8).to(dtype), weights(3, 1, 8, dtype)
    got = outcome(x, edges, [0.5] * 3, given)
    wide = {name: tensor.float() for name, tensor in given.items()}
    expected = outcome(x.float(), edges, [0.5] * 3, wide)
    assert all(tensor.dtype == dtype for tensor in got)
    torch.testing.assert_close(got[0], expected[0].to(dtype))
    assert aero_attention(x, edges, given["att"][0]).dtype == torch.float32


def test_bad_input() -> None:
    x, given, edges = torch.zeros(4, 2, 3), weights(1, 2, 3), torch.tensor([[0, 1], [1, 2]])
    for name, shape in (
        ("att", r"\[1, 2, 3\]"),
        ("hop_att_0", r"\[2, 3\]"),
        ("hop_att", r"\[1, 2, 6\]"),
        ("hop_bias", r"\[2, 2\]"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' must have shape {shape}"):
            aero_propagate(x, edges, decay=[0.5], **{**given, name: torch.zeros(1)})
    with pytest.raises(ValueError, match="'att' must have shape"):
        aero_propagate(x, edges, decay=[0.5, 0.5], **given)
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' must lie in \[0, 4\).*got 4"):
        aero_propagate(x, edges + torch.tensor([[0], [3]]), decay=[0.5], **given)
    with pytest.raises(ValueError, match=r"'z' must have shape \[any, any, any\]"):
        aero_attention(x[0], edges, given["att"][0])
    with pytest.raises(TypeError, match="'edge_index' must be int32 or int64"):
        aero_attention(x, edges.float(), given["att"][0])
    with pytest.raises(TypeError, match=r"'z' must be floating point, got torch.int64"):
        aero_attention(x.long(), edges, given["att"][0])
    for name, tensor in given.items():
        changed = {**given, name: tensor.to("meta")}
        with pytest.raises(ValueError, match=f"'{name}' must be on cpu as 'x', got meta"):
            aero_propagate(x, edges, decay=[0.5], **changed)
        changed = {**given, name: tensor.to(torch.complex64)}
        with pytest.raises(TypeError, match=f"'{name}' must be floating point, got torch.complex"):
            aero_propagate(x, edges, decay=[0.5], **changed)
    with pytest.raises(ValueError, match="'edge_index' must be on cpu as 'x', got meta"):
        aero_propagate(x, edges.to("meta"), decay=[0.5], **given)


def grid() -> Tensor:
    """Edges of a ring of 300 nodes with chords, loops and a hub; undirected."""
    nodes = torch.arange(300)
    one_way = torch.cat([torch.stack([nodes, (nodes + d) % 300]) for d in (1, 7, 40)], dim=1)
    one_way = torch.cat([one_way, torch.stack([nodes, torch.zeros_like(nodes)])], dim=1)
    return torch.cat([one_way, one_way.flip(0), nodes.expand(2, -1)], dim=1)


@native
@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("channels", [64, 40, 7])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_float32_on_every_instruction_set(
    monkeypatch: pytest.MonkeyPatch, isa: str, channels: int, scale: float
) -> None:
    known = ["portable", "avx2", "avx512"]
    if known.index(isa) > known.index(_native.instruction_set()):
        pytest.skip(f"this machine has no {isa}")
    monkeypatch.setattr(_native, "instruction_set", lambda: isa)
    torch.manual_seed(0)
    # The exponentials of sums of the larger features are too large to be multiplied.
    x, given = scale * torch.randn(300, 1, channels), weights(4, 1, channels, torch.float32)
    given = {name: tensor / scale for name, tensor in given.items()}
    wide = {name: tensor.double() for name, tensor in given.items()}
    for edges in (grid(), grid()[:, :1500]):
        exact = outcome(x.double(), edges, [0.5] * 4, wide)
        with use_implementation("reference"):
            plain = outcome(x, edges, [0.5] * 4, given)
        with use_implementation("cpu"):
            got = outcome(x, edges, [0.5] * 4, given)
        for ours, theirs, want in zip(got, plain, exact, strict=True):
            allowed = 4 * float((theirs - want).abs().max()) + 1e-6 * float(want.abs().max())
            assert float((ours - want).abs().max()) < allowed


@native
def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    x, given = torch.randn(300, 2, 24), weights(5, 2, 24, torch.float32)
    before, runs = torch.get_num_threads(), []
    for threads in (1, 2, 3, 4, 8, 1):
        torch.set_num_threads(threads)
        with use_implementation("cpu"):
            runs.append(outcome(x, grid(), [0.5] * 5, given))
    torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@native
def test_nothing_per_edge_is_kept() -> None:
    x, given = torch.randn(300, 1, 16), weights(16, 1, 16, torch.float32)
    leaves = {name: t.requires_grad_() for name, t in {"x": x, **given}.items()}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        aero_propagate(edge_index=grid(), decay=[0.5] * 16, **leaves)
    edges = 2 * grid().size(1)
    # 16 states, every fourth sum, what the input's own weight needs, and 32 numbers per node.
    assert sum(sizes.values()) - edges < (16 + 3 + 6) * x.numel() + 32 * 300


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_what_is_not_a_number_stays_visible(implementation: str) -> None:
    torch.manual_seed(0)
    x, given = torch.randn(300, 1, 16), weights(3, 1, 16, torch.float32)
    x[5, 0, 3] = torch.nan
    edges = torch.tensor([[5, 6, 6, 7], [6, 5, 7, 6]])
    with use_implementation(implementation):
        z = aero_propagate(x, edges, decay=[0.5] * 3, **given)
    assert z[5:8].isnan().any(dim=-1).all()
    assert z[8:].isfinite().all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0)])
def test_empty_dimensions(shape: tuple[int, int, int], implementation: str) -> None:
    edges = torch.tensor([[0, 1], [1, 2]])[:, : shape[0]]
    given = weights(2, shape[1], max(shape[2], 1))
    if shape[2] == 0:
        given |= {name: given[name][..., :0] for name in ("att", "hop_att_0", "hop_att")}
    with use_implementation(implementation):
        z, *grads = outcome(torch.zeros(shape).double(), edges, [0.5, 0.5], given)
    assert z.shape == shape
    assert all((grad == 0).all() for grad in grads)


@native
def test_a_changed_edge_list_is_seen() -> None:
    torch.manual_seed(0)
    edges, given = grid(), weights(2, 1, 8, torch.float32)
    x = torch.randn(300, 1, 8)
    with use_implementation("cpu"):
        before = aero_propagate(x, edges, decay=[0.5] * 2, **given)
        edges[0, 0] = 17
        after = aero_propagate(x, edges, decay=[0.5] * 2, **given)
        fresh = aero_propagate(x, edges.clone(), decay=[0.5] * 2, **given)
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh)
