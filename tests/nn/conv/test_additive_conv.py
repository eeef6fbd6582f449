from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

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


def test_contract(layer_check: Callable[..., None]) -> None:
    options = {"channels": 16, "heads": 2}
    layer_check(AdditiveConv, definition=by_definition, options=options)


def test_self_loops_and_slope() -> None:
    torch.manual_seed(0)
    conv = AdditiveConv(8, 4, negative_slope=0.3, add_self_loops=True).double()
    x = torch.randn(6, 8, dtype=torch.double)
    missing = torch.tensor([0, 1, 3, 4, 5]).expand(2, -1)
    expected = by_definition(conv, x, torch.cat([EDGES, missing], dim=1))
    torch.testing.assert_close(conv(x, EDGES), expected)


def test_sources_alone() -> None:
    conv, x, edges = AdditiveConv(8, heads=2), torch.randn(6, 8), EDGES.unique(dim=1)
    pair = (torch.cat([x, torch.randn(2, 8)]), x)
    torch.testing.assert_close(conv(pair, edges), conv(x, edges))
    assert conv((x, None), torch.tensor([[0], [1]])).shape == (6, 8)


def test_drops_coefficients_in_training() -> None:
    torch.manual_seed(0)
    x, edges = torch.randn(40, 8), torch.randint(40, (2, 400))
    conv = AdditiveConv(8, heads=2, dropout=0.5)
    expected = copy.deepcopy(conv).eval()(x, edges)
    assert not torch.allclose(conv(x, edges), expected)
    mean = torch.stack([conv(x, edges) for _ in range(500)]).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.1, rtol=0.1)


def test_heads_divide_channels() -> None:
    with pytest.raises(ValueError, match=r"'heads' \(3\) must divide 'channels' \(8\)"):
        AdditiveConv(8, heads=3)
