from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphattn.nn import AEROConv

# Node 0 has one self-loop, node 2 two of them, 3 -> 0 is doubled, nothing enters 3 and 4, 5 has no
# edge.
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 2, 0, 2], [1, 2, 2, 0, 0, 1, 0, 0, 2]])
NUM_NODES, WIDTH = 6, 8


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


def test_contract(layer_check: Callable[..., None]) -> None:
    layer_check(AEROConv, options={"channels": 16, "num_steps": 3, "heads": 2}, steps=3)


def test_coefficients_of_every_step(x: Tensor) -> None:
    _, (_, alpha) = AEROConv(WIDTH, 3, heads=2)(x, EDGES, return_attention_weights=True)
    assert alpha.shape == (9, 3, 2)
    # Parallel edges weigh the same; what 3 and 4 send is lost, as nothing enters them.
    torch.testing.assert_close(alpha[2], alpha[8])
    assert (alpha[3:6] == 0).all()
    assert (alpha[[0, 1, 2, 6, 7, 8]] > 0).all()


def test_undirected_graphs_have_symmetric_attention(x: Tensor) -> None:
    edges = torch.cat([EDGES, EDGES.flip(0)], dim=1)
    _, (_, alpha) = AEROConv(WIDTH, 2)(x, edges, return_attention_weights=True)
    torch.testing.assert_close(alpha[:9], alpha[9:])


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


def test_names_what_is_wrong(x: Tensor) -> None:
    conv = AEROConv(WIDTH, 3)
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, 8\] .* got \[6, 7\]"):
        conv(x[:, 1:], EDGES)
    with pytest.raises(TypeError, match="'x' must be one tensor for all nodes, got tuple"):
        conv((x, x), EDGES)
    with pytest.raises(ValueError, match="'edge_attr' was given"):
        conv(x, EDGES, torch.randn(9, 2))
    with pytest.raises(ValueError, match="'num_steps' must be at least 0, got -1"):
        AEROConv(8, -1)
    with pytest.raises(ValueError, match=r"'heads' \(3\) must divide 'channels' \(8\)"):
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
