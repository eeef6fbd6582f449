from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu
from torch_geometric.testing import assert_module

from graphattn.nn import AdditiveConv

# Node 5 has no edge, 2 has a self-loop, 3 -> 0 is doubled.
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4], [1, 2, 2, 0, 0, 1]])


def by_definition(conv: AdditiveConv, x: Tensor, edges: Tensor) -> Tensor:
    """The class docstring, in a loop over nodes and heads."""
    src, dst = edges
    u, w = conv.lin_src(x), conv.lin_dst(x)
    rows = []
    for i in range(len(x)):
        j = src[dst == i]
        alpha = leaky_relu(u[j] + w[i], conv.negative_slope).softmax(dim=0)
        parts = x.view(len(x), conv.heads, -1)[j]
        rows.append((alpha.unsqueeze(-1) * parts).sum(dim=0).flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
def test_equals_the_definition(heads: int, loops: bool) -> None:
    torch.manual_seed(0)
    conv = AdditiveConv(8, heads, negative_slope=0.3, add_self_loops=loops).double()
    x = torch.randn(6, 8, dtype=torch.double, requires_grad=True)
    edges = EDGES
    if loops:
        missing = torch.tensor([0, 1, 3, 4, 5]).expand(2, -1)
        edges = torch.cat([EDGES, missing], dim=1)
    results = []
    for out in (conv(x, EDGES), by_definition(conv, x, edges)):
        inputs = (x, *conv.parameters())
        results.append((out, torch.autograd.grad(out.square().sum(), inputs)))
    torch.testing.assert_close(*results)
    seen: list[Tensor] = []
    conv.register_message_forward_hook(lambda *call: seen.append(call[-1]))
    torch.testing.assert_close(conv(x, EDGES), results[0][0])
    assert len(seen) == 1


def test_takes_what_layers_take() -> None:
    torch.manual_seed(0)
    conv, x = AdditiveConv(8, heads=2, dropout=0.5), torch.randn(6, 8)
    out, (edges, alpha) = conv(x, EDGES, return_attention_weights=True)
    assert torch.equal(edges, EDGES)
    total = torch.zeros(6, 2).index_add(0, EDGES[1], alpha)
    torch.testing.assert_close(total, torch.tensor([1.0, 1, 1, 0, 0, 0]).view(-1, 1).expand(6, 2))
    assert (out[3:] == 0).all()
    conv.eval()
    expected = assert_module(conv, x, EDGES.unique(dim=1), expected_size=(6, 8))
    pair = (torch.cat([x, torch.randn(2, 8)]), x)
    torch.testing.assert_close(conv(pair, EDGES.unique(dim=1)), expected)
    assert conv((x, None), torch.tensor([[0], [1]])).shape == (6, 8)
    assert conv(x, torch.empty(2, 0, dtype=torch.long)).eq(0).all()
    half = copy.deepcopy(conv).bfloat16()(x.bfloat16(), EDGES.unique(dim=1))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.1)


def test_drops_coefficients_in_training() -> None:
    torch.manual_seed(0)
    x, edges = torch.randn(40, 8), torch.randint(40, (2, 400))
    conv = AdditiveConv(8, heads=2, dropout=0.5)
    expected = copy.deepcopy(conv).eval()(x, edges)
    assert not torch.allclose(conv(x, edges), expected)
    mean = torch.stack([conv(x, edges) for _ in range(500)]).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.1, rtol=0.1)


def test_starts_anew_and_prints() -> None:
    conv = AdditiveConv(8, heads=2)
    before = copy.deepcopy(conv.state_dict())
    conv.reset_parameters()
    assert all(not torch.equal(value, before[name]) for name, value in conv.state_dict().items())
    assert repr(conv) == "AdditiveConv(8, heads=2)"
    assert repr(AdditiveConv(8)) == "AdditiveConv(8)"


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_divide_channels(heads: int) -> None:
    with pytest.raises(ValueError, match=rf"'heads' \({heads}\) must divide 'channels' \(8\)"):
        AdditiveConv(8, heads)
