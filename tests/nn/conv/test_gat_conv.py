from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric import nn as pyg

from graphattn.nn import GATConv


def test_contract(layer_check: Callable[..., None]) -> None:
    layer_check(GATConv, peer=pyg.GATConv)


def test_sources_alone_equal_pyg() -> None:
    x, edges = torch.randn(4, 8), torch.tensor([[0, 1, 2, 3], [0, 0, 1, 4]])
    ours, theirs = GATConv(8, 4, heads=2), pyg.GATConv(8, 4, heads=2)
    ours.load_state_dict(theirs.state_dict())
    expected = theirs((x, None), edges, size=(4, 5))
    torch.testing.assert_close(ours((x, None), edges, size=(4, 5)), expected)
    assert ours((x, None), edges[:, :3]).shape == (4, 8)


def test_value_dropout_leaves_the_scores_alone() -> None:
    torch.manual_seed(0)
    x, edges = torch.randn(50, 8), torch.randint(50, (2, 300))
    conv = GATConv(8, 4, heads=2, value_dropout=0.5, bias=False)
    plain = GATConv(8, 4, heads=2, bias=False)
    plain.load_state_dict(conv.state_dict())
    expected, (_, alpha) = plain(x, edges, return_attention_weights=True)
    out, (_, kept) = conv(x, edges, return_attention_weights=True)
    torch.testing.assert_close(kept, alpha)
    assert not torch.allclose(out, expected)
    mean = torch.stack([conv(x, edges) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.1, rtol=0.1)
    torch.testing.assert_close(conv.eval()(x, edges), expected)
    with pytest.raises(ValueError, match=r"'value_dropout' must lie in \[0, 1\], got -1"):
        GATConv(8, 4, value_dropout=-1)


def test_ranking_of_neighbours_is_the_same_for_all_queries() -> None:
    # GATv2 paper, theorem 1: on a complete bipartite graph GAT's attention is static.
    torch.manual_seed(0)
    edges = torch.cartesian_prod(torch.arange(6), torch.arange(5)).t()
    conv = GATConv((8, 8), 4, heads=3, add_self_loops=False)
    x = (torch.randn(6, 8), torch.randn(5, 8))
    _, (_, alpha) = conv(x, edges, return_attention_weights=True)
    order = alpha.view(6, 5, 3).argsort(dim=0)
    assert (order == order[:, :1]).all()


def test_the_first_step_of_a_lazy_layer_has_the_right_gradients() -> None:
    x, edges = torch.randn(5, 6), torch.tensor([[0, 1, 2, 3], [1, 2, 0, 4]])
    conv = GATConv(-1, 8, heads=2)
    grads = []
    for _ in range(2):
        conv.zero_grad()
        conv(x, edges).square().sum().backward()
        grads.append([parameter.grad.clone() for parameter in conv.parameters()])
    torch.testing.assert_close(*grads)
