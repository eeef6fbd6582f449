from __future__ import annotations

import copy
import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.explain import AttentionExplainer, Explainer, GNNExplainer
from torch_geometric.testing import assert_module
from torch_geometric.utils import (
    to_edge_index,
    to_torch_coo_tensor,
    to_torch_csc_tensor,
    to_torch_csr_tensor,
)

from graphattn.nn import AEROConv

# Node 0 has one self-loop, node 2 two of them, 3 -> 0 is doubled, nothing enters 3 and 4, 5 has no
# edge.
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 2, 0, 2], [1, 2, 2, 0, 0, 1, 0, 0, 2]])
NUM_NODES, WIDTH = 6, 8
MODE = {"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(NUM_NODES, WIDTH, generator=torch.Generator().manual_seed(1))


def gradients(layer: torch.nn.Module, x: Tensor, edges: Any) -> list[Tensor]:
    """Output and gradients with respect to `x` and all parameters, of a fixed random sum."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    out = layer(x, edges)
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out))
    return [out.detach(), x.grad, *(p.grad for p in layer.parameters())]


def assert_same(left: list[Tensor], right: list[Tensor], **tolerance: float) -> None:
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def test_takes_every_form_of_edge_index(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 3, heads=2)
    simple = torch.unique(EDGES, dim=1)
    expected = assert_module(conv, x, simple, expected_size=(NUM_NODES, WIDTH))
    shape = (NUM_NODES, NUM_NODES)
    matrix = to_torch_csr_tensor(simple.flip(0), size=shape)
    torch.testing.assert_close(conv(x, matrix), expected)
    by_src = simple[:, simple[0].argsort(stable=True)]
    index = EdgeIndex(by_src, sparse_size=shape, sort_order="row")
    torch.testing.assert_close(conv(x, index), expected)
    torch.testing.assert_close(conv(x, simple.int(), size=shape), expected)
    flipped = AEROConv(WIDTH, 3, heads=2, flow="target_to_source")
    flipped.load_state_dict(conv.state_dict())
    torch.testing.assert_close(flipped(x, simple.flip(0)), expected)
    out, _ = flipped(x, simple.flip(0), return_attention_weights=True)
    torch.testing.assert_close(out, expected)


def test_returns_weights_in_input_order(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 3, heads=2)
    out, (edges, alpha) = conv(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close(out, conv(x, EDGES))
    assert torch.equal(edges, EDGES)
    assert alpha.shape == (9, 3, 2)
    # Parallel edges weigh the same; what 3 and 4 send is lost, as nothing enters them.
    torch.testing.assert_close(alpha[2], alpha[8])
    assert (alpha[3:6] == 0).all()
    assert (alpha[[0, 1, 2, 6, 7, 8]] > 0).all()
    assert isinstance(conv(x, EDGES, return_attention_weights=False), Tensor)
    simple = torch.unique(EDGES, dim=1)
    _, (edges, alpha) = conv(x, simple, return_attention_weights=True)
    expected = torch.zeros(NUM_NODES, NUM_NODES, 3, 2).index_put((edges[1], edges[0]), alpha)
    for convert in (to_torch_coo_tensor, to_torch_csr_tensor, to_torch_csc_tensor):
        matrix = convert(simple.flip(0), size=(NUM_NODES, NUM_NODES))
        _, (returned, values) = conv(x, matrix, return_attention_weights=True)
        assert returned.layout == matrix.layout
        assert torch.equal(values, returned.values())
        (dst, src), values = to_edge_index(returned)
        torch.testing.assert_close(values, expected[dst, src])


def test_undirected_graphs_have_symmetric_attention(x: Tensor) -> None:
    edges = torch.cat([EDGES, EDGES.flip(0)], dim=1)
    _, (_, alpha) = AEROConv(WIDTH, 2)(x, edges, return_attention_weights=True)
    torch.testing.assert_close(alpha[:9], alpha[9:])


def test_is_the_same_when_watched(x: Tensor) -> None:
    conv, x = AEROConv(WIDTH, 3, heads=2).double(), x.double()
    fused = gradients(conv, x, EDGES)
    seen: list[Tensor] = []
    handle = conv.register_message_forward_hook(lambda _, i, out: seen.append(out))
    assert_same(gradients(conv, x, EDGES), fused)
    assert len(seen) == 3
    handle.remove()
    gradients(conv, x, EDGES)
    assert len(seen) == 3


def test_an_overridden_message_is_used(x: Tensor) -> None:
    class Silent(AEROConv):
        def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
            return 0 * super().message(x_j, alpha)

    conv = AEROConv(WIDTH, 3)
    silent = Silent(WIDTH, 3)
    silent.load_state_dict(conv.state_dict())
    no_edges = torch.empty(2, 0, dtype=torch.long)
    torch.testing.assert_close(silent(x, EDGES), conv(x, no_edges))


def test_explainers_see_the_right_edges(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 3, heads=2).eval()
    attention = Explainer(
        conv,
        AttentionExplainer(reduce="mean"),
        explanation_type="model",
        edge_mask_type="object",
        model_config=MODE,
    )
    _, (_, alpha) = conv(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close(attention(x, EDGES).edge_mask, alpha.mean(dim=2).mean(dim=1))
    conv.explain, conv._apply_sigmoid = True, False
    conv._edge_mask = torch.ones(EDGES.size(1))
    unmasked = conv(x, EDGES)
    conv._edge_mask[0] = 0.0  # 0 -> 1, which nothing but 2 follows
    masked = conv(x, EDGES)
    conv.explain = None
    torch.testing.assert_close(conv(x, EDGES), unmasked)
    changed = (masked - unmasked).abs().sum(dim=1) > 1e-6
    assert changed[1]
    assert not changed[[3, 4, 5]].any()
    explainer = Explainer(
        conv,
        GNNExplainer(epochs=3),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config=MODE,
    )
    explanation = explainer(x, EDGES)
    assert explanation.edge_mask.shape == (EDGES.size(1),)
    assert explanation.node_mask.shape == x.shape


def test_hop_attention_weighs_the_states(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 3, heads=2)
    gamma = conv.hop_attention(x, EDGES)
    assert gamma.shape == (NUM_NODES, 4, 2)
    states = [x.view(NUM_NODES, 2, 4)]
    conv.register_propagate_forward_hook(lambda _, i, out: states.append(out))
    out = conv(x, EDGES)
    expected = (torch.stack(states, dim=1) * gamma.unsqueeze(-1)).sum(dim=1).flatten(1)
    torch.testing.assert_close(out, expected)


def test_without_edges(x: Tensor) -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    conv = AEROConv(WIDTH, 3)
    out, *grads = gradients(conv, x, none)
    # Only the input's own state is left.
    gamma = torch.nn.functional.elu(x) @ conv.hop_att_0[0] + 1.0
    torch.testing.assert_close(out, gamma.unsqueeze(1).detach() * x)
    assert all(grad.isfinite().all() for grad in grads)
    torch.testing.assert_close(gradients(conv, x, EDGES)[0][5], out[5])
    assert gradients(conv, x[:0], none)[0].shape == (0, WIDTH)
    _, (_, alpha) = conv(x, none, return_attention_weights=True)
    assert alpha.shape == (0, 3, 1)


def test_no_steps(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 0, heads=2)
    out, (_, alpha) = conv(x, EDGES, return_attention_weights=True)
    assert alpha.shape == (9, 0, 2)
    torch.testing.assert_close(out, conv(x, EDGES))
    gamma = conv.hop_attention(x, EDGES)
    torch.testing.assert_close(out, (x.view(6, 2, 4) * gamma.view(6, 2, 1)).flatten(1))


def test_initial_distribution_is_the_authors() -> None:
    torch.manual_seed(0)
    conv = AEROConv(640, 50, heads=10)
    conv.requires_grad_(False)
    for parameter, bound in (
        (conv.att, math.sqrt(6 / (10 + 64))),
        (conv.hop_att_0, math.sqrt(6 / (10 + 64))),
        (conv.hop_att, math.sqrt(6 / (10 + 128))),
    ):
        assert bound * 0.95 < float(parameter.abs().max()) <= bound
        assert float(parameter.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert (conv.hop_bias == 1).all()
    before = copy.deepcopy(conv.state_dict())
    conv.hop_bias.zero_()
    conv.reset_parameters()
    assert (conv.hop_bias == 1).all()
    assert not any(
        torch.equal(conv.state_dict()[name], before[name]) for name in ("att", "hop_att")
    )


def test_prints_what_differs_from_the_default() -> None:
    assert repr(AEROConv(64, 32)) == "AEROConv(64, 32)"
    assert repr(AEROConv(64, 4, heads=2, lambd=0.5)) == "AEROConv(64, 4, heads=2, lambd=0.5)"


def test_compiles_without_a_graph_break(x: Tensor) -> None:
    torch._dynamo.reset()
    conv = AEROConv(WIDTH, 3, heads=2)
    compiled = torch.compile(conv, fullgraph=True, dynamic=True)
    for edges in (EDGES, EDGES[:, :5]):
        expected = gradients(conv, x, edges)
        assert_same(gradients(compiled, x, edges), expected, atol=1e-5, rtol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x, edges), expected[0])


def test_works_in_half_precision(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 3, heads=2)
    expected = conv(x, EDGES)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            torch.testing.assert_close(conv(x, EDGES), expected)
            out, (_, alpha) = conv(x.to(dtype), EDGES, return_attention_weights=True)
        assert (out.dtype, alpha.dtype) == (dtype, torch.float32)
        half = copy.deepcopy(conv).to(dtype)
        out = gradients(half, x.to(dtype), EDGES)[0]
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)


def test_repeats_bit_by_bit(x: Tensor) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        conv = AEROConv(WIDTH, 3, heads=2)
        assert_same(*(gradients(conv, x, EDGES) for _ in range(2)), atol=0, rtol=0)
    finally:
        torch.use_deterministic_algorithms(False)


def test_survives_copies_and_checkpoints(x: Tensor) -> None:
    conv, file = AEROConv(WIDTH, 3, heads=2), io.BytesIO()
    torch.save(conv, file)
    file.seek(0)
    for twin in (copy.deepcopy(conv), torch.load(file, weights_only=False)):
        torch.testing.assert_close(twin(x, EDGES), conv(x, EDGES), atol=0, rtol=0)
    leaf = x.clone().requires_grad_()
    torch.utils.checkpoint.checkpoint(conv, leaf, EDGES, use_reentrant=False).sum().backward()
    again = x.clone().requires_grad_()
    conv(again, EDGES).sum().backward()
    torch.testing.assert_close(leaf.grad, again.grad, atol=0, rtol=0)


def test_names_what_is_wrong(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 3)
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' must lie in \[0, 6\).*got 6"):
        conv(x, EDGES + 4)
    with pytest.raises(ValueError, match=r"'edge_index' must have shape \[2, E\], got \[9, 2\]"):
        conv(x, EDGES.t())
    with pytest.raises(ValueError, match=r"'edge_index\[0\]' must lie in"):
        conv(x, EDGES + 4, return_attention_weights=True)
    with pytest.raises(TypeError, match=r"'edge_index' must be .* got list"):
        conv(x, EDGES.tolist())
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, 8\] .* got \[6, 7\]"):
        conv(x[:, 1:], EDGES)
    with pytest.raises(TypeError, match="'x' must be one tensor for all nodes, got tuple"):
        conv((x, x), EDGES)
    with pytest.raises(ValueError, match="'edge_attr' was given"):
        conv(x, EDGES, torch.randn(9, 2))
    with pytest.raises(ValueError, match=r"'size' is \(6, 7\), but 'x' has 6 nodes"):
        conv(x, EDGES, size=(6, 7))
    with pytest.raises(ValueError, match="'num_steps' must be at least 0, got -1"):
        AEROConv(8, -1)
    with pytest.raises(ValueError, match="'heads' must be at least 1, got 0"):
        AEROConv(8, 1, heads=0)
    with pytest.raises(ValueError, match=r"'channels' must be a .* of 'heads' \(3\), got 8"):
        AEROConv(8, 1, heads=3)
    with pytest.raises(ValueError, match="'lambd' must be finite and 0 or more, got -1"):
        AEROConv(8, 1, lambd=-1)


def test_coefficients_are_those_of_the_propagation_and_call_no_hooks(x: Tensor) -> None:
    conv, calls = AEROConv(WIDTH, 3, heads=2), []
    conv.register_message_forward_hook(lambda *_: calls.append("message"))
    _, (_, alpha) = conv(x, EDGES, return_attention_weights=True)
    assert calls == ["message"] * 3
    found, gamma = conv.coefficients(x, EDGES)
    assert len(calls) == 3
    torch.testing.assert_close(found, alpha)
    assert gamma.shape == (NUM_NODES, 4, 2)
    assert torch.equal(gamma, conv.hop_attention(x, EDGES))
