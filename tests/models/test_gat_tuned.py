from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout, relu

from graphattn.models import GATTuned
from graphattn.nn import record_attention


@pytest.fixture
def graph() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    loops = torch.arange(20).expand(2, -1)
    edges = torch.cat([torch.randint(0, 20, (2, 60)), loops], dim=1)
    return torch.randn(20, 6), edges.unique(dim=1), torch.arange(20) % 4


OPTIONS: list[dict[str, Any]] = [
    {},
    {"norm": "layer_norm", "heads": 4},
    {"norm": "batch_norm", "sum_layers": True},
    {"residual": False},
    {"sep": True},
    {"feed_forward": True, "sep": True},
    {"feed_forward": True, "num_layers": 7},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_overfits_twenty_nodes(
    options: dict[str, Any], graph: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, edges, y = graph
    model = GATTuned(6, 32, **{"num_layers": 2, "out_channels": 4, **options})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = cross_entropy(model(x, edges), y)
        loss.backward()
        optimizer.step()
        # The paper's code has parameters that are never used; here there are none.
        assert all(parameter.grad is not None for parameter in model.parameters())
    assert (model(x, edges).argmax(1) == y).all()


def test_dropout_follows_every_layer_and_nothing_else(
    graph: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, edges, _ = graph
    model = GATTuned(6, 32, 2, 4, dropout=0.5)
    torch.manual_seed(1)
    out = model(x, edges)
    torch.manual_seed(1)
    h = x
    for block in model.blocks:
        h = dropout(relu(block.conv(h, edges) + block.lin_res(h)), 0.5)
    torch.testing.assert_close(out, model.lin_out(h))
    assert {block.conv.dropout for block in model.blocks} == {0.0}


def test_sums_its_layers(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    model = GATTuned(6, 32, 3, 4, sum_layers=True)
    states = [x]
    for block in model.blocks:
        states.append(block(states[-1], edges))
    torch.testing.assert_close(model(x, edges), model.lin_out(sum(states[1:])))


def test_takes_sparse_and_edge_features_and_returns_attention(
    graph: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, edges, _ = graph
    x = x.relu()
    edge_attr = torch.randn(edges.size(1), 3)
    model = GATTuned(6, 32, 2, 4, heads=2, edge_dim=3)
    expected = model(x, edges, edge_attr)
    torch.testing.assert_close(model(x.to_sparse_csr(), edges, edge_attr), expected)
    with record_attention(model) as records:
        torch.testing.assert_close(model(x, edges, edge_attr=edge_attr), expected)
    assert len(records) == 2
    for record in records:
        assert torch.equal(record.edge_index, edges)
        total = torch.zeros(20, 2).index_add(0, edges[1], record.alpha)
        torch.testing.assert_close(total, torch.ones_like(total))


def test_saves_and_loads(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    model, file = GATTuned(6, 32, 2, 4, norm="batch_norm").eval(), io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    twin = GATTuned(6, 32, 2, 4, norm="batch_norm").eval()
    assert not torch.equal(twin(x, edges), model(x, edges))
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(x, edges), model(x, edges))
    twin.reset_parameters()
    assert not torch.equal(twin(x, edges), model(x, edges))


@pytest.mark.parametrize("loops", [False, True])
def test_without_edges(loops: bool) -> None:
    model = GATTuned(6, 32, 2, 4, add_self_loops=loops)
    out = model(torch.randn(5, 6), torch.empty(2, 0, dtype=torch.long))
    out.sum().backward()
    assert out.isfinite().all()
    assert repr(model) == "GATTuned(6, 4, num_layers=2)"


def test_bad_input(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    with pytest.raises(ValueError, match="'num_layers' must be at least 1, got 0"):
        GATTuned(6, 32, 0, 4)
    with pytest.raises(ValueError, match=r"'heads' \(3\) must divide 'hidden_channels' \(32\)"):
        GATTuned(6, 32, 2, 4, heads=3)
    with pytest.raises(ValueError, match="'x' has 6 features per node, expected 7"):
        GATTuned(7, 32, 2, 4)(x, edges)
