from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout, elu
from torch_geometric import nn as pyg

from graphattn.models import GAT, GATv2

MODELS = [GAT, GATv2]


@pytest.fixture
def graph() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(20, 6), torch.randint(0, 20, (2, 60)), torch.arange(20) % 4


@pytest.mark.parametrize("model", MODELS)
def test_overfits_twenty_nodes(model: type[GAT], graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, y = graph
    net = model(6, 32, 2, 4, heads=4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = cross_entropy(net(x, edges), y)
        loss.backward()
        optimizer.step()
    assert (net(x, edges).argmax(1) == y).all()


@pytest.mark.parametrize(("ours", "v2"), [(GAT, False), (GATv2, True)])
@pytest.mark.parametrize("options", [{}, {"jk": "cat", "norm": "layer_norm"}])
def test_equals_pyg_s_model_with_its_weights(
    ours: type[GAT], v2: bool, options: dict[str, str], graph: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, edges, _ = graph
    mine = ours(6, 32, 3, 4, heads=4, **options).eval()
    theirs = pyg.GAT(6, 32, 3, 4, heads=4, act="elu", v2=v2, **options).eval()
    mine.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(mine(x, edges), theirs(x, edges))


@pytest.mark.parametrize("model", MODELS)
def test_saves_and_loads(model: type[GAT], graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    net, file = model(6, 32, 2, 4, heads=4).eval(), io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    twin = model(6, 32, 2, 4, heads=4).eval()
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(x, edges), net(x, edges))


@pytest.mark.parametrize("model", MODELS)
def test_without_edges(model: type[GAT]) -> None:
    net = model(6, 32, 2, 4, heads=4)
    out = net(torch.randn(5, 6), torch.empty(2, 0, dtype=torch.long))
    out.sum().backward()
    assert out.isfinite().all()


def test_dropout_stands_where_the_paper_has_it(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    net = GAT(6, 32, 2, 4, dropout=0.6, heads=4, out_heads=1).train()
    torch.manual_seed(5)
    out = net(x, edges)
    torch.manual_seed(5)
    hidden = elu(net.convs[0](dropout(x, 0.6), edges))
    expected = net.convs[1](dropout(hidden, 0.6), edges)
    torch.testing.assert_close(out, expected)
    assert [conv.dropout for conv in net.convs] == [0.6, 0.6]
    assert [(conv.heads, conv.concat) for conv in net.convs] == [(4, True), (1, False)]
    separate = GAT(6, 32, 2, 4, dropout=0.6, attention_dropout=0.1, heads=4)
    assert [conv.dropout for conv in separate.convs] == [0.1, 0.1]


@pytest.mark.parametrize("model", MODELS)
def test_sparse_features_give_the_same(
    model: type[GAT], graph: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, edges, _ = graph
    x = x.relu()
    net = model(6, 32, 2, 4, dropout=0.6, heads=4).eval()
    torch.testing.assert_close(net(x.to_sparse_csr(), edges), net(x, edges))
    net.train()
    net(x.to_sparse_csr(), edges).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("model", MODELS)
def test_returns_the_attention_of_every_layer(
    model: type[GAT], graph: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, edges, _ = graph
    net = model(6, 32, 3, 4, heads=4, out_heads=2).eval()
    out, weights = net(x, edges, return_attention_weights=True)
    torch.testing.assert_close(out, net(x, edges))
    assert [alpha.size(1) for _, alpha in weights] == [4, 4, 2]
    for returned, alpha in weights:
        assert torch.equal(returned[:, : edges.size(1)], edges)
        total = torch.zeros(20, alpha.size(1)).index_add(0, returned[1], alpha)
        torch.testing.assert_close(total, torch.ones_like(total))


def test_trims_sampled_blocks() -> None:
    # Seed 0 has neighbours 1 and 2, which have neighbours 3 and 4.
    x, edges = torch.randn(5, 6), torch.tensor([[1, 2, 3, 4], [0, 0, 1, 2]])
    net = GAT(6, 8, 2, 4, heads=2).eval()
    trimmed = net(x, edges, num_sampled_nodes_per_hop=[1, 2, 2], num_sampled_edges_per_hop=[2, 2])
    torch.testing.assert_close(trimmed[0], net(x, edges)[0])


def test_bad_input(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    with pytest.raises(ValueError, match=r"'heads' \(3\) must divide 'hidden_channels' \(32\)"):
        GAT(6, 32, 2, 4, heads=3)
    with pytest.raises(ValueError, match="'x' has 6 features per node, expected 7"):
        GAT(7, 32, 2, 4, heads=4)(x, edges)


def test_malformed_calls_end_in_our_errors() -> None:
    with pytest.raises(ValueError, match=r"'heads' \(0\) must divide 'hidden_channels'"):
        GATv2(16, 8, num_layers=2, out_channels=3, heads=0)
    model = GAT(16, 8, num_layers=2, out_channels=3)
    with pytest.raises(TypeError, match="'x' must be a tensor, got ndarray"):
        model(torch.randn(4, 16).numpy(), torch.tensor([[0], [1]]))
