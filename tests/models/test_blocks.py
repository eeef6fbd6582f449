from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, relu

from graphattn.models import AttentionBlock
from graphattn.nn import AdditiveConv, GATConv

EDGES = torch.tensor([[0, 1, 2, 3, 3, 4], [1, 2, 2, 0, 0, 1]])


def features(width: int = 8) -> Tensor:
    return torch.randn(6, width, generator=torch.Generator().manual_seed(1))


def test_a_layer_of_a_plain_network() -> None:
    conv = GATConv(8, 4, heads=3, bias=False)
    block = AttentionBlock(8, 12, conv, residual="linear", norm="layer_norm", dropout=0.3)
    x = features()
    torch.manual_seed(2)
    out = block(x, EDGES)
    torch.manual_seed(2)
    joined = conv(x, EDGES) + block.lin_res(x)
    torch.testing.assert_close(out, dropout(relu(block.norm(joined)), 0.3))
    assert set(dict(block.named_children())) == {"conv", "act", "dropout", "lin_res", "norm"}


def test_a_block_that_refines_what_it_gets() -> None:
    conv = AdditiveConv(8, heads=2)
    block = AttentionBlock(
        8,
        8,
        conv,
        input_map=True,
        sep=True,
        output_map="feed_forward",
        residual="identity",
        norm="batch_norm",
        norm_first=True,
        act="gelu",
        dropout=0.3,
    )
    x = features()
    torch.manual_seed(2)
    out = block(x, EDGES)
    first, second = block.lin_out[0], block.lin_out[3]
    assert first.in_channels == 16
    torch.manual_seed(2)
    y = block.lin_in(block.norm(x))
    z = second(gelu(dropout(first(torch.cat([y, conv(y, EDGES)], dim=1)), 0.3)))
    torch.testing.assert_close(out, x + dropout(z, 0.3))


def test_without_attention_it_sees_each_node_by_itself() -> None:
    block = AttentionBlock(8, 5, output_map="feed_forward", residual="linear", norm="layer_norm")
    out = block(features(), EDGES)
    torch.testing.assert_close(block(features()[:2], EDGES), out[:2])
    assert out.shape == (6, 5)


COMBINATIONS: list[dict[str, Any]] = [
    {"input_map": True, "sep": True, "output_map": "linear"},
    {"output_map": "feed_forward", "residual": "linear", "norm": "batch_norm", "act": None},
    {"residual": "identity", "norm": "layer_norm", "norm_first": True},
    {"sep": True, "output_map": "feed_forward", "act": nn.PReLU()},
]


@pytest.mark.parametrize("options", COMBINATIONS, ids=str)
def test_every_parameter_gets_a_gradient(options: dict[str, Any]) -> None:
    conv = GATConv(8, 4, heads=2, edge_dim=3)
    block = AttentionBlock(8, 8, conv, **options)
    edge_attr = torch.randn(EDGES.size(1), 3)
    block(features(), EDGES, edge_attr).square().sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())
    before = {name: p.clone() for name, p in block.named_parameters()}
    block.reset_parameters()
    drawn = [n for n, p in block.named_parameters() if p.dim() > 1 and torch.equal(p, before[n])]
    assert drawn == []


def test_sparse_features_give_the_same() -> None:
    x = features().relu()
    for options in ({}, {"sep": True, "output_map": "linear"}):
        block = AttentionBlock(8, 8, GATConv(8, 8), residual="linear", **options)
        torch.testing.assert_close(block(x.to_sparse_csr(), EDGES), block(x, EDGES))


def test_repr_names_the_layer() -> None:
    block = AttentionBlock(8, 8, GATConv(8, 8))
    assert repr(block) == "AttentionBlock(8, 8, conv=GATConv(8, 8))"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"residual": "identity", "out_channels": 4},
            r"'residual' is 'identity', but 'in_channels'",
        ),
        (
            {"residual": "dense"},
            "'residual' must be one of None, 'identity', 'linear', got 'dense'",
        ),
        ({"norm": "pair_norm"}, "'norm' must be one of"),
        ({"output_map": "mlp"}, "'output_map' must be one of"),
        ({"sep": True}, "'sep' needs a 'conv' and an 'output_map'"),
        ({"out_channels": 9}, "'out_channels' is 9, but 'conv' gives 8 channels"),
        ({"dropout": 2.0}, r"'dropout' must lie in \[0, 1\], got 2.0"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], text: str) -> None:
    settings = {"out_channels": 8, "conv": GATConv(8, 8)} | options
    with pytest.raises(ValueError, match=text):
        AttentionBlock(8, **settings)
