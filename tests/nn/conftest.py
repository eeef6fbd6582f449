"""The layer contract: what is asked of every attention layer, with and without a peer in PyG.

A new layer gets all of it with

    def test_contract(layer_check: Callable[..., None]) -> None:
        layer_check(NewConv, definition=by_definition)

and one that has the name, the weights and the numbers of PyG's with

    def test_contract(layer_check: Callable[..., None]) -> None:
        layer_check(NewConv, peer=torch_geometric.nn.NewConv)

    def test_equals_its_peer(peer_check: Callable[..., None]) -> None:
        peer_check(NewConv, torch_geometric.nn.NewConv)
"""

from __future__ import annotations

import copy
import inspect
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch_geometric import EdgeIndex
from torch_geometric.explain import AttentionExplainer, Explainer, GNNExplainer
from torch_geometric.nn import MessagePassing
from torch_geometric.testing import assert_module
from torch_geometric.utils import (
    to_edge_index,
    to_torch_coo_tensor,
    to_torch_csc_tensor,
    to_torch_csr_tensor,
)

from graphattn.ops import _native, graph, use_implementation

Layer = Callable[..., torch.nn.Module]

# Node 0 has one self-loop, node 2 two of them, 3 -> 0 is doubled, 5 has no edge.
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 2, 0, 2], [1, 2, 2, 0, 0, 1, 0, 0, 2]])
LOOP_FREE = EDGES[:, EDGES[0] != EDGES[1]]
NUM_NODES, WIDTH = 6, 16


@dataclass(frozen=True)
class LayerSpec:
    """What the contract has to know of a layer."""

    layer: Layer
    peer: Layer | None = None
    """PyG's layer of the name, with the same arguments and weights."""
    definition: Callable[[Any, Tensor, Tensor], Tensor] | None = None
    """Of a layer without a peer: its output for a layer, features and edges, in plain torch. If
    there is none, the layer is compared with itself on the reference implementation."""
    options: Mapping[str, Any] = field(
        default_factory=lambda: {"in_channels": WIDTH, "out_channels": 4, "heads": 2}
    )
    """Arguments with which the layer takes features of width 16, and has two heads."""
    steps: int = 1
    """How far an edge reaches."""

    def make(self, **more: Any) -> Any:
        return self.layer(**{**self.options, **more})

    def has(self, *options: str) -> bool:
        return all(takes(self.layer, option) for option in options)

    @property
    def adds_loops(self) -> bool:
        parameter = inspect.signature(self.layer).parameters.get("add_self_loops")
        return parameter is not None and parameter.default is True

    def twins(self, **more: Any) -> tuple[Any, Any]:
        """The layer and what it has to equal, with the same weights, in float64."""
        ours = self.make(**more).double()
        if self.peer is not None:
            theirs = self.peer(**{**self.options, **more}).double()
            theirs.load_state_dict(ours.state_dict())
            return ours, theirs
        theirs = copy.deepcopy(ours)
        theirs.forward = MethodType(self.definition or _by_the_reference, theirs)
        return ours, theirs


def _by_the_reference(conv: torch.nn.Module, x: Tensor, edges: Tensor) -> Tensor:
    with use_implementation("reference"):
        out: Tensor = type(conv).forward(conv, x, edges)
    return out


def takes(layer: Layer, option: str) -> bool:
    """Whether a layer has an option, such as `add_self_loops`."""
    return option in inspect.signature(layer).parameters


def features(num_nodes: int = NUM_NODES, width: int = WIDTH) -> Tensor:
    return torch.randn(num_nodes, width, generator=torch.Generator().manual_seed(1))


def gradients(layer: torch.nn.Module, x: Tensor, *args: Any, **kwargs: Any) -> list[Tensor]:
    """Output and gradients with respect to `x` and all parameters by name, of a random sum."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    out = layer(x, *args, **kwargs)
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out))
    named = sorted(layer.named_parameters())
    return [out.detach(), x.grad, *(p.grad for _, p in named if p.grad is not None)]


def assert_same(left: list[Tensor], right: list[Tensor], **tolerance: float) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def equals_its_twin(spec: LayerSpec) -> None:
    x = features().double()
    for edges in (LOOP_FREE, EDGES[:, :0]):
        ours, theirs = spec.twins()
        expected = gradients(theirs, x, edges)
        assert_same(gradients(ours, x, edges), expected)


def takes_every_form_of_edge_index(spec: LayerSpec) -> None:
    conv, x = spec.make(), features()
    # A matrix can't tell parallel edges apart.
    simple = torch.unique(EDGES, dim=1)
    expected = assert_module(conv, x, simple, expected_size=conv(x, simple).shape)
    shape = (NUM_NODES, NUM_NODES)
    matrix = to_torch_csr_tensor(simple.flip(0), size=shape)
    torch.testing.assert_close(conv(x, matrix), expected)
    by_src = simple[:, simple[0].argsort(stable=True)]
    index = EdgeIndex(by_src, sparse_size=shape, sort_order="row")
    torch.testing.assert_close(conv(x, index), expected)
    torch.testing.assert_close(conv(x, simple.int(), size=shape), expected)
    flipped = spec.make(flow="target_to_source")
    flipped.load_state_dict(conv.state_dict())
    torch.testing.assert_close(flipped(x, simple.flip(0)), expected)
    out, _ = flipped(x, simple.flip(0), return_attention_weights=True)
    torch.testing.assert_close(out, expected)


def returns_weights_in_input_order(spec: LayerSpec) -> None:
    dropped = {"dropout": 0.7} if spec.has("dropout") else {}
    conv, x = spec.make(**dropped).train(), features()
    _, (edges, alpha) = conv(x, EDGES, return_attention_weights=True)
    num_edges = EDGES.size(1)
    assert torch.equal(edges[:, :num_edges], EDGES)
    if spec.adds_loops:
        assert edges[:, num_edges:].tolist() == [[1, 3, 4, 5]] * 2
        assert alpha[-1].tolist() == [1.0, 1.0]
    else:
        assert edges.size(1) == num_edges
    if spec.has("add_self_loops"):
        loops = edges.size(1) > num_edges
        total = alpha.new_zeros(NUM_NODES, 2).index_add(0, edges[1], alpha)
        entered = torch.zeros(NUM_NODES, 2).index_fill(0, edges[1], 1.0)
        torch.testing.assert_close(total, entered)
        assert bool((alpha[8] == 0).all()) == loops
    assert (alpha[2] > 0).all()
    conv.eval()
    assert isinstance(conv(x, EDGES, return_attention_weights=False), Tensor)
    simple = torch.unique(EDGES, dim=1)
    out, (edges, alpha) = conv(x, simple, return_attention_weights=True)
    torch.testing.assert_close(out, conv(x, simple))
    shape = (NUM_NODES, NUM_NODES)
    expected = torch.zeros(*shape, *alpha.shape[1:]).index_put((edges[1], edges[0]), alpha)
    for convert in (to_torch_coo_tensor, to_torch_csr_tensor, to_torch_csc_tensor):
        matrix = convert(simple.flip(0), size=shape)
        _, (returned, values) = conv(x, matrix, return_attention_weights=True)
        assert returned.layout == matrix.layout
        assert torch.equal(values, returned.values())
        (dst, src), values = to_edge_index(returned)
        torch.testing.assert_close(values, expected[dst, src])
        assert len(values) == len(alpha)


def is_the_same_when_watched(spec: LayerSpec) -> None:
    for options in (
        {},
        {"heads": 1},
        {"concat": False, "add_self_loops": False},
        {"dropout": 0.5},
        {"beta": True},
    ):
        if not spec.has(*options):
            continue
        wide = {"edge_dim": 3} if spec.has("edge_dim") else {}
        conv = spec.make(**options, **wide).double()
        args = (features().double(), EDGES, *(torch.randn(9, 3).double() for _ in wide))
        torch.manual_seed(4)
        fused = gradients(conv, *args)
        seen: list[Tensor] = []
        handle = conv.register_message_forward_hook(lambda _, i, out, seen=seen: seen.append(out))
        torch.manual_seed(4)
        assert_same(gradients(conv, *args), fused)
        assert len(seen) == spec.steps
        handle.remove()
        gradients(conv, *args)
        assert len(seen) == spec.steps

    class Silent(spec.layer):  # type: ignore[misc, name-defined]
        def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
            return 0 * super().message(x_j, alpha)

    Silent.__name__ += spec.layer.__name__  # PyG keeps what it makes of a class by its name
    conv, silent = spec.make(), Silent(**spec.options)
    silent.load_state_dict(conv.state_dict())
    seen = []
    silent.register_message_forward_hook(lambda _, i, out: seen.append(out))
    silent(features(), EDGES)
    assert len(seen) == spec.steps
    assert all((message == 0).all() for message in seen)
    if not spec.adds_loops:
        torch.testing.assert_close(silent(features(), EDGES), conv(features(), EDGES[:, :0]))


def explainers_see_the_right_edges(spec: LayerSpec) -> None:
    torch.manual_seed(0)
    conv, x = spec.make().eval(), features()
    mode = {"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"}
    attention = Explainer(
        conv,
        AttentionExplainer(reduce="mean"),
        explanation_type="model",
        edge_mask_type="object",
        model_config=mode,
    )
    _, (_, alpha) = conv(x, EDGES, return_attention_weights=True)
    mask = attention(x, EDGES).edge_mask
    torch.testing.assert_close(mask, alpha[: EDGES.size(1)].flatten(1).mean(dim=1))
    # Masks that are 0 or 1 must act as if the edge's message were absent, loops included.
    conv.explain, conv._apply_sigmoid = True, False
    conv._edge_mask = torch.ones(EDGES.size(1))
    unmasked = conv(x, EDGES)
    conv._edge_mask[2] = 0.0
    masked = conv(x, EDGES)
    conv.explain = None
    torch.testing.assert_close(conv(x, EDGES), unmasked)
    changed = (masked - unmasked).abs().sum(dim=1) > 1e-6
    # The loop at 2; from there edges go to 0, and from 0 to 1.
    reached = [spec.steps > 1, spec.steps > 2, True, False, False, False]
    assert changed.tolist() == reached
    explainer = Explainer(
        conv,
        GNNExplainer(epochs=3),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config=mode,
    )
    explanation = explainer(x, EDGES)
    assert explanation.edge_mask.shape == (EDGES.size(1),)
    assert explanation.node_mask.shape == x.shape


def has_an_output_without_edges(spec: LayerSpec) -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    loop_free = {"add_self_loops": False} if spec.has("add_self_loops") else {}
    conv = spec.make(**loop_free)
    if getattr(conv, "bias", None) is not None:
        torch.nn.init.normal_(conv.bias)
    out, *grads = gradients(conv, features(), none)
    assert all(grad.isfinite().all() for grad in grads)
    # A node without edges has what all have in a graph without any.
    isolated = gradients(conv, features(), EDGES)[0][5]
    torch.testing.assert_close(isolated, out[5])
    assert gradients(conv, features(0), none)[0].shape == (0, out.size(1))
    alone = spec.make()
    out, (edges, alpha) = alone(features(), none, return_attention_weights=True)
    loops = list(range(NUM_NODES)) if spec.adds_loops else []
    assert edges.tolist() == [loops] * 2
    assert len(alpha) == len(loops)
    assert (alpha == 1).all()
    torch.testing.assert_close(out, alone(features(), none))


def prints_how_to_make_it(spec: LayerSpec) -> None:
    conv = spec.make()
    again = eval(repr(conv), {spec.layer.__name__: spec.layer})
    assert repr(again) == repr(conv)
    again.load_state_dict(conv.state_dict())
    torch.testing.assert_close(again(features(), EDGES), conv(features(), EDGES), atol=0, rtol=0)


def starts_anew(spec: LayerSpec) -> None:
    conv = spec.make()
    before = copy.deepcopy(conv.state_dict())
    conv.reset_parameters()
    for name, value in conv.state_dict().items():
        assert "bias" in name or not torch.equal(value, before[name]), name


def compiles_without_a_graph_break(spec: LayerSpec) -> None:
    torch._dynamo.reset()
    wide = {"edge_dim": 3} if spec.has("edge_dim") else {}
    conv, attr = spec.make(**wide), torch.randn(EDGES.size(1), 3)
    # The code that is generated is torch's; once for every op of ours is enough.
    backend = "aot_eager" if spec.peer is None else "inductor"
    compiled = torch.compile(conv, fullgraph=True, dynamic=True, backend=backend)
    for edges in (EDGES, LOOP_FREE):
        args = (features(), edges, *(attr[: edges.size(1)] for _ in wide))
        expected = gradients(conv, *args)
        assert_same(gradients(compiled, *args), expected, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*args), expected[0])


def allows_what_autograd_allows(spec: LayerSpec) -> None:
    x, direction = features().double(), torch.randn(NUM_NODES, WIDTH).double()
    found: list[list[Tensor]] = []
    for conv in spec.twins():
        # By name: PyG's come in another order.
        weights = [parameter for _, parameter in sorted(conv.named_parameters())]
        leaf = x.clone().requires_grad_()
        # In-place activations and a penalty on the gradient.
        out = torch.relu_(conv(leaf, LOOP_FREE))
        (slope,) = torch.autograd.grad(out.sum(), leaf, create_graph=True)
        grads = torch.autograd.grad(out.sum() + (slope**2).sum(), weights, allow_unused=True)
        results = [out.detach(), slope.detach(), *(g for g in grads if g is not None)]

        def value(x: Tensor, conv: torch.nn.Module = conv) -> Tensor:
            return conv(x, LOOP_FREE).sin().sum()

        results.append(torch.func.grad(value)(x))
        results.append(torch.func.jvp(value, (x,), (direction,))[1])
        results.append(torch.func.jacrev(torch.func.grad(value))(x))
        results.append(torch.func.vmap(value)(torch.stack([x, 2 * x])))
        state = {name: torch.stack([p, 2 * p]) for name, p in conv.state_dict().items()}

        def member(state: dict[str, Tensor], conv: torch.nn.Module = conv) -> Tensor:
            out: Tensor = torch.func.functional_call(conv, state, (x, LOOP_FREE))
            return out

        results.append(torch.func.vmap(member)(state))
        out = conv(leaf, LOOP_FREE).sum(dim=1)
        batched = torch.autograd.grad(
            out, leaf, torch.eye(NUM_NODES).double(), is_grads_batched=True
        )
        found.append([*results, *batched])
    assert_same(*found)


def keeps_what_a_subclass_keeps(spec: LayerSpec) -> None:
    if not hasattr(spec.layer, "operands"):
        return

    class Keeping(spec.layer):  # type: ignore[misc, name-defined]
        def operands(self, *args: Any, **kwargs: Any) -> Any:
            found = super().operands(*args, **kwargs)
            self.values = found[0]
            return found

    conv, plain = Keeping(**spec.options), spec.make()
    plain.load_state_dict(conv.state_dict())
    x, y = (features().requires_grad_() for _ in range(2))
    out = conv(x, EDGES)
    before = conv.values.detach().clone()
    (out.sum() + (conv.values**2).sum()).backward()
    assert torch.equal(conv.values, before)
    # The same with the penalty alone, computed anew.
    values = plain.operands(y, y, None, NUM_NODES)[0]
    (plain(y, EDGES).sum() + (values**2).sum()).backward()
    torch.testing.assert_close(x.grad, y.grad)


def honours_hooks_and_replacements_of_its_maps(spec: LayerSpec) -> None:
    x, found = features().double(), []
    for conv in spec.twins():
        seen: dict[str, list[Tensor]] = {}
        maps = [(name, one) for name, one in conv.named_modules() if name.startswith("lin")]
        for name, one in maps:
            one.register_full_backward_hook(
                lambda _, grad_in, grad_out, name=name, seen=seen: seen.setdefault(name, []).extend(
                    [grad_in[0].clone(), grad_out[0].clone()]
                )
            )
        leaf = x.clone().requires_grad_()
        conv(leaf, LOOP_FREE).sin().sum().backward()
        found.append([*(entry for name in sorted(seen) for entry in seen[name]), leaf.grad])
        for _, one in maps:
            one._backward_hooks.clear()
            one.forward = lambda x, one=one: 2 * torch.nn.functional.linear(x, one.weight, one.bias)
        found[-1].append(conv(x, LOOP_FREE))
        for name, one in maps:
            del one.forward
            if name != "lin_beta":
                torch.nn.utils.parametrize.register_parametrization(one, "weight", torch.nn.Tanh())
        found[-1].append(conv(x, LOOP_FREE))
    assert_same(*found)


def prepares_a_graph_once(spec: LayerSpec) -> None:
    if _native.why_missing() is not None:
        pytest.skip("no native library")
    sorts: list[Any] = []
    sort = graph.sort_rows
    simple = torch.unique(EDGES, dim=1).contiguous()
    shape = (NUM_NODES, NUM_NODES)
    index = EdgeIndex(simple, sparse_size=shape)
    matrices = [
        convert(simple.flip(0), size=shape)
        for convert in (to_torch_coo_tensor, to_torch_csr_tensor, to_torch_csc_tensor)
    ]
    forms: list[Callable[[], Any]] = [
        lambda: simple,
        lambda: index,
        *(lambda matrix=matrix: matrix for matrix in matrices),
        lambda: simple.flip(0),
        lambda: simple.clone(),
        lambda: torch.stack([simple[0], simple[1]]),
        lambda: simple[:, :6],
        lambda: simple.int(),
    ]
    try:
        graph.sort_rows = lambda *args: sorts.append(args) or sort(*args)
        for flow in ("source_to_target", "target_to_source"):
            for form in forms[:2] + forms[5:] if flow == "target_to_source" else forms:
                for inference in (False, True):
                    graph.forget_graphs()
                    conv = spec.make(flow=flow)
                    sorts.clear()
                    with torch.inference_mode(inference):
                        for _ in range(3):
                            conv(features(), form())
                    assert len(sorts) == 1
    finally:
        graph.sort_rows = sort


def sees_changes_behind_torch_s_back(spec: LayerSpec) -> None:
    conv, array = spec.make(), EDGES.numpy().copy()
    edges = torch.from_numpy(array)
    for change in (
        lambda: array.__setitem__((0, 0), 5),
        lambda: edges.data.copy_(EDGES.flip(1)),
        lambda: edges.data[1].fill_(2),
    ):
        conv(features(), edges)
        change()
        expected = conv(features(), torch.from_numpy(array.copy()))
        assert torch.equal(conv(features(), edges), expected)


def moves_to_meta_and_takes_numpy_s_integers(spec: LayerSpec) -> None:
    counts = {name: np.int64(n) for name, n in spec.options.items() if isinstance(n, int)}
    conv = spec.make(**counts)
    assert repr(conv) == repr(spec.make())
    expected = conv(features(), EDGES)
    conv.to("meta")
    out = conv(features().to("meta"), EDGES.to("meta"))
    assert out.device.type == "meta"
    assert out.shape == expected.shape
    conv.to_empty(device="cpu").reset_parameters()
    assert conv(features(), EDGES).shape == expected.shape


def works_in_half_precision(spec: LayerSpec) -> None:
    conv, x = spec.make(), features()
    expected = conv(x, EDGES)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            out, (_, alpha) = conv(x, EDGES, return_attention_weights=True)
            fused = conv(x, EDGES)
        assert out.dtype == fused.dtype == x.dtype
        assert alpha.dtype == torch.float32
        torch.testing.assert_close(fused, expected, atol=0.05, rtol=0.05)
        torch.testing.assert_close(out, expected, atol=0.05, rtol=0.05)
        half = copy.deepcopy(conv).to(dtype)
        out = gradients(half, x.to(dtype), EDGES)[0]
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)


def repeats_bit_by_bit(spec: LayerSpec) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        conv = spec.make(**({"dropout": 0.5} if spec.has("dropout") else {}))
        runs = []
        for _ in range(2):
            torch.manual_seed(3)
            runs.append(gradients(conv, features(), EDGES))
        assert_same(*runs, atol=0, rtol=0)
    finally:
        torch.use_deterministic_algorithms(False)


def survives_copies_and_checkpoints(spec: LayerSpec) -> None:
    conv, x = spec.make(), features()
    file = io.BytesIO()
    torch.save(conv, file)
    file.seek(0)
    for twin in (copy.deepcopy(conv), torch.load(file, weights_only=False)):
        torch.testing.assert_close(twin(x, EDGES), conv(x, EDGES), atol=0, rtol=0)


def recomputes_under_activation_checkpointing(spec: LayerSpec) -> None:
    conv = spec.make(**({"dropout": 0.5} if spec.has("dropout") else {}))

    def wrapped(x: Tensor, edges: Tensor) -> Tensor:
        out: Tensor = checkpoint(conv, x, edges, use_reentrant=False)
        return out

    wrapped.zero_grad = conv.zero_grad  # type: ignore[attr-defined]
    wrapped.named_parameters = conv.named_parameters  # type: ignore[attr-defined]
    torch.manual_seed(5)
    expected = gradients(conv, features(), EDGES)
    torch.manual_seed(5)
    assert_same(gradients(wrapped, features(), EDGES), expected, atol=0, rtol=0)


def names_what_is_wrong_with_a_graph(spec: LayerSpec) -> None:
    conv, x = spec.make(), features()
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (
            ValueError,
            r"'edge_index\[.\]' must lie in \[0, 6\).*got [68]",
            lambda: conv(x, EDGES + 4),
        ),
        (ValueError, r"'edge_index\[0\]' must lie in .*got -1", lambda: conv(x, EDGES - 1)),
        (ValueError, r"'edge_index' must have shape \[2, E\]", lambda: conv(x, EDGES.t())),
        (TypeError, "'edge_index' must be int32 or int64", lambda: conv(x, EDGES.float())),
        (TypeError, r"int32 or int64, got torch\.uint64", lambda: conv(x, EDGES.to(torch.uint64))),
        (TypeError, "'edge_index' must be .* got list", lambda: conv(x, EDGES.tolist())),
        (ValueError, "'edge_attr' ", lambda: conv(x, EDGES, torch.randn(9, 3))),
        (ValueError, r"'size' is \(6, 7\)", lambda: conv(x, EDGES, size=(6, 7))),
        (ValueError, "'x' .*15", lambda: conv(x[:, 1:], EDGES)),
        (ValueError, r"'x' must have shape \[N, ", lambda: conv(x[None], EDGES)),
        (TypeError, "'x' must be", lambda: conv(x.numpy(), EDGES)),
        (
            ValueError,
            r"'edge_index' is a matrix of shape \[7, 7\], expected \[6, 6\]",
            lambda: conv(x, to_torch_csr_tensor(EDGES.unique(dim=1), size=(7, 7))),
        ),
        (ValueError, "'heads' must be at least 1, got 0", lambda: spec.make(heads=0)),
        (TypeError, "'heads' must be a whole number, got '2'", lambda: spec.make(heads="2")),
    ]
    if any(name.startswith("lin") for name, _ in conv.named_modules()):
        # Weights that only meet features entry by entry are promoted, as torch does.
        text = "'x' is torch.float64, .*float32"
        cases.append((TypeError, text, lambda: conv(x.double(), EDGES)))
    for error, text, call in cases:
        with pytest.raises(error, match=text):
            call()


def equals_the_peer_with_its_weights(layer: Layer, peer: Layer) -> None:
    for options in (
        {},
        {"heads": 3},
        {"heads": 2, "concat": False, "residual": True},
        {"add_self_loops": False},
        {"bias": False, "negative_slope": 0.5},
        {"beta": True, "bias": False},
        {"beta": True, "concat": False, "heads": 2},
        {"root_weight": False},
    ):
        if not all(takes(layer, option) for option in options):
            continue
        ours, theirs = layer(WIDTH, 4, **options), peer(WIDTH, 4, **options)
        ours.load_state_dict(theirs.state_dict())
        expected = gradients(theirs, features(), EDGES)
        # Parameters come in another order, so compare them by name.
        assert_same(gradients(ours, features(), EDGES)[:2], expected[:2])
        for name, parameter in theirs.named_parameters():
            grad = ours.get_parameter(name).grad
            assert (grad is None) == (parameter.grad is None), name
            if grad is not None:
                torch.testing.assert_close(grad, parameter.grad, msg=name)
        theirs.load_state_dict(ours.state_dict())


def starts_from_the_peer_s_distribution(layer: Layer, peer: Layer) -> None:
    torch.manual_seed(0)
    options = {"residual": True} if takes(layer, "residual") else {}
    ours, theirs = layer(300, 40, heads=4, **options), peer(300, 40, heads=4, **options)
    for name, parameter in theirs.named_parameters():
        mine = ours.get_parameter(name)
        assert mine.shape == parameter.shape
        torch.testing.assert_close(mine.abs().max(), parameter.abs().max(), rtol=0.1, atol=0)
        torch.testing.assert_close(mine.std(), parameter.std(), rtol=0.15, atol=1e-8)
    before = copy.deepcopy(ours.state_dict())
    ours.reset_parameters()
    assert all(
        not torch.equal(value, before[name])
        for name, value in ours.state_dict().items()
        if "bias" not in name
    )


def takes_bipartite_and_lazy_sizes(layer: Layer, peer: Layer) -> None:
    edges = torch.tensor([[0, 1, 2, 3, 1], [0, 0, 1, 1, 4]])
    x = (features(4), features(5, 7))
    ours, theirs = layer((WIDTH, 7), 4, heads=2), peer((WIDTH, 7), 4, heads=2)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x, edges), theirs(x, edges))
    torch.testing.assert_close(ours(x, edges, size=(4, 5)), theirs(x, edges))
    lazy = layer((-1, -1), 4, heads=2)
    assert lazy(x, edges).shape == (5, 8)
    assert layer(-1, 4)(features(), EDGES).shape == (NUM_NODES, 4)
    with pytest.raises(ValueError, match=r"'size' is \(4, 6\)"):
        ours(x, edges, size=(4, 6))


def keeps_edge_features_straight(layer: Layer, peer: Layer) -> None:
    edge_attr = torch.randn(LOOP_FREE.size(1), 3)
    fills = ("mean", "add", "max", 2.0, torch.tensor([1.0, 2.0, 3.0]))
    for fill_value in fills if takes(layer, "fill_value") else ("none",):
        fill = {"fill_value": fill_value} if takes(layer, "fill_value") else {}
        ours = layer(WIDTH, 4, heads=2, edge_dim=3, **fill)
        theirs = peer(WIDTH, 4, heads=2, edge_dim=3, **fill)
        ours.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(
            ours(features(), LOOP_FREE, edge_attr), theirs(features(), LOOP_FREE, edge_attr)
        )
    lazy = layer(WIDTH, 4, edge_dim=-1)
    assert lazy(features(), LOOP_FREE, edge_attr).shape == (NUM_NODES, 4)
    one = layer(WIDTH, 4, edge_dim=1)
    assert one(features(), EDGES, torch.randn(EDGES.size(1))).shape == (NUM_NODES, 4)
    if not takes(layer, "add_self_loops"):
        return
    # A loop that is there keeps its features: appending it by hand gives the same.
    own = torch.randn(1, 3)
    with_loop = torch.cat([torch.tensor([[3], [3]]), LOOP_FREE], dim=1)
    _, (_, alpha) = ours(
        features(), with_loop, torch.cat([own, edge_attr]), return_attention_weights=True
    )
    by_hand = layer(WIDTH, 4, heads=2, edge_dim=3, add_self_loops=False)
    by_hand.load_state_dict(ours.state_dict())
    _, (_, expected) = by_hand(
        features(), with_loop, torch.cat([own, edge_attr]), return_attention_weights=True
    )
    torch.testing.assert_close(alpha[0], expected[0])


def passes_nothing_back_without_edges(layer: Layer, peer: Layer) -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    loop_free = {"add_self_loops": False} if takes(layer, "add_self_loops") else {}
    conv = layer(WIDTH, 4, heads=2, edge_dim=3, **loop_free)
    if conv.bias is not None:
        torch.nn.init.normal_(conv.bias)
    own = peer(WIDTH, 4, heads=2, edge_dim=3, **loop_free)
    own.load_state_dict(conv.state_dict())
    out, x_grad, *_ = gradients(conv, features(), none, torch.empty(0, 3))
    torch.testing.assert_close(out, own(features(), none, torch.empty(0, 3)))
    # But what a root weight brings.
    assert takes(layer, "root_weight") or (x_grad == 0).all()


def prints_what_differs_from_the_default(layer: Layer, peer: Layer) -> None:
    name = layer.__name__
    assert repr(layer(8, 32)) == f"{name}(8, 32)"
    fill = ", fill_value=0.0" if takes(layer, "fill_value") else ""
    options = {"fill_value": 0.0} if fill else {}
    assert repr(layer((8, -1), 32, heads=2, bias=False, **options)) == (
        f"{name}((8, -1), 32, heads=2{fill}, bias=False)"
    )


def trains_compiled_at_any_width(layer: Layer, peer: Layer) -> None:
    for channels, options in (
        (8, {}),
        (7, {"heads": 3}),
        (4, {"heads": 2, "concat": False}),
        (8, {"residual": True, "bias": False}),
        (16, {"share_weights": True}),
        (8, {"beta": True, "heads": 2}),
        (8, {"flow": "target_to_source"}),
    ):
        if not all(takes(layer, option) or option == "flow" for option in options):
            continue
        torch._dynamo.reset()
        conv = layer(WIDTH, channels, **options)
        compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
        expected = gradients(conv, features(), EDGES)
        assert_same(gradients(compiled, features(), EDGES), expected, atol=1e-5, rtol=1e-4)


def honours_edge_updates(layer: Layer, peer: Layer) -> None:
    if not hasattr(layer, "edge_update") or layer.edge_update is MessagePassing.edge_update:
        conv = layer(WIDTH, 4)
        conv.register_edge_update_forward_hook(lambda *_: None)
        with pytest.raises(TypeError, match="computes its coefficients without 'edge_update'"):
            conv(features(), EDGES)
        return
    x, edge_attr = features().double(), torch.randn(LOOP_FREE.size(1), 3).double()
    for options in ({}, {"flow": "target_to_source"}, {"add_self_loops": False, "concat": False}):
        found = []
        for conv in LayerSpec(layer, peer).twins(edge_dim=3, **options):
            calls: list[Any] = []
            conv.register_edge_update_forward_pre_hook(lambda _, given, c=calls: c.append(given[2]))
            conv.register_edge_update_forward_hook(lambda _, given, out: out**2)
            out, (_, alpha) = conv(x, LOOP_FREE, edge_attr, return_attention_weights=True)
            assert len(calls) == 1
            found.append([out, alpha, *(calls[0][k] for k in sorted(calls[0]) if k[-2:] == "_j")])
        assert_same(*found)

    names = ", ".join(inspect.signature(layer.edge_update).parameters)
    # PyG keeps what it makes of a class by its name.
    name, scope = f"Cubed{layer.__name__}", {"layer": layer}
    exec(  # a subclass as users write it, with the parameters of the method by name
        f"class {name}(layer):\n    def edge_update({names}):\n"
        f"        return layer.edge_update({names}) ** 3\n",
        scope,
    )
    cubed, plain = scope[name](WIDTH, 4).double(), layer(WIDTH, 4).double()
    plain.load_state_dict(cubed.state_dict())
    plain.register_edge_update_forward_hook(lambda _, given, out: out**3)
    torch.testing.assert_close(cubed(x, EDGES), plain(x, EDGES))


def equals_the_peer_backwards_and_with_any_aggregation(layer: Layer, peer: Layer) -> None:
    x, edge_attr = features().double(), torch.randn(LOOP_FREE.size(1), 3).double()
    for flow in ("source_to_target", "target_to_source"):
        for aggr in ("add", "sum", "mean", "max"):
            ours, theirs = LayerSpec(layer, peer).twins(flow=flow, aggr=aggr, edge_dim=3)
            expected = theirs(x, LOOP_FREE, edge_attr)
            torch.testing.assert_close(ours(x, LOOP_FREE, edge_attr), expected)
            out, (edges, alpha) = ours(x, LOOP_FREE, edge_attr, return_attention_weights=True)
            _, (their_edges, their_alpha) = theirs(
                x, LOOP_FREE, edge_attr, return_attention_weights=True
            )
            torch.testing.assert_close(out, expected)
            assert torch.equal(edges, their_edges)
            torch.testing.assert_close(alpha, their_alpha)
            ours.register_message_forward_hook(lambda *_: None)
            torch.testing.assert_close(ours(x, LOOP_FREE, edge_attr), expected)
        # Loops that are there, one of them twice.
        ours, theirs = LayerSpec(layer, peer).twins(heads=1, aggr="mean", flow=flow)
        torch.testing.assert_close(ours(x, EDGES), theirs(x, EDGES))
    matrix = to_torch_csr_tensor(LOOP_FREE.flip(0), size=(NUM_NODES, NUM_NODES))
    with pytest.raises(ValueError, match="flow='target_to_source' takes an edge list"):
        ours(x, matrix)


def names_what_is_wrong(layer: Layer, peer: Layer) -> None:
    conv, x = layer(WIDTH, 4, heads=2), features()
    edge_attr = torch.randn(EDGES.size(1), 3)
    with_attr = layer(WIDTH, 4, edge_dim=3)
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (
            ValueError,
            "'edge_attr' of shape .* 'edge_dim' is None",
            lambda: conv(x, EDGES, edge_attr),
        ),
        (
            ValueError,
            r"'edge_attr' must have shape \[9, 3\] .* got \[8, 3\]",
            lambda: with_attr(x, EDGES, edge_attr[1:]),
        ),
        (ValueError, r"'edge_index\[0\]' must lie in", lambda: with_attr(x, EDGES - 1, edge_attr)),
        (ValueError, "'x' has 15 features per node, expected 16", lambda: conv(x[:, 1:], EDGES)),
        (ValueError, "'in_channels' must be at least -1, got -5", lambda: layer(-5, 4)),
        (ValueError, "'in_channels' must be at least 1, or -1 .*, got 0", lambda: layer((4, 0), 4)),
        (TypeError, "'x' must be a tensor or a pair", lambda: conv(x.numpy(), EDGES)),
        (TypeError, "'x' must be a tensor or a pair", lambda: conv((x.numpy(), x), EDGES)),
        (TypeError, "'edge_attr' must be a tensor", lambda: with_attr(x, EDGES, 3)),
        (ValueError, r"'dropout' must lie in \[0, 1\], got 1.5", lambda: layer(8, 4, dropout=1.5)),
    ]
    if takes(layer, "fill_value"):
        cases += [
            (
                ValueError,
                r"'fill_value' must have shape \[2\] \('edge_dim'\), got \[3\]",
                lambda: layer(8, 4, edge_dim=2, fill_value=torch.ones(3)),
            ),
            (
                ValueError,
                "unknown 'fill_value' 'men'; did you mean .*'mean'",
                lambda: layer(8, 4, fill_value="men"),
            ),
        ]
    for error, text, call in cases:
        with pytest.raises(error, match=text):
            call()


CHECKS = [
    equals_its_twin,
    takes_every_form_of_edge_index,
    returns_weights_in_input_order,
    is_the_same_when_watched,
    explainers_see_the_right_edges,
    has_an_output_without_edges,
    prints_how_to_make_it,
    starts_anew,
    compiles_without_a_graph_break,
    allows_what_autograd_allows,
    keeps_what_a_subclass_keeps,
    honours_hooks_and_replacements_of_its_maps,
    prepares_a_graph_once,
    sees_changes_behind_torch_s_back,
    moves_to_meta_and_takes_numpy_s_integers,
    works_in_half_precision,
    repeats_bit_by_bit,
    survives_copies_and_checkpoints,
    recomputes_under_activation_checkpointing,
    names_what_is_wrong_with_a_graph,
]

PEER_CHECKS = [
    equals_the_peer_with_its_weights,
    starts_from_the_peer_s_distribution,
    takes_bipartite_and_lazy_sizes,
    keeps_edge_features_straight,
    passes_nothing_back_without_edges,
    prints_what_differs_from_the_default,
    trains_compiled_at_any_width,
    honours_edge_updates,
    equals_the_peer_backwards_and_with_any_aggregation,
    names_what_is_wrong,
]


@pytest.fixture(params=CHECKS, ids=lambda check: check.__name__)
def layer_check(request: pytest.FixtureRequest) -> Callable[..., None]:
    """One point of the contract of every layer, called with the fields of its `LayerSpec`."""

    def check(layer: Layer, **fields: Any) -> None:
        request.param(LayerSpec(layer, **fields))

    return check


@pytest.fixture(params=PEER_CHECKS, ids=lambda check: check.__name__)
def peer_check(request: pytest.FixtureRequest) -> Callable[[Layer, Layer], None]:
    """One point of what a layer shares with PyG's of its name, called with both."""
    check: Callable[[Layer, Layer], None] = request.param
    return check
