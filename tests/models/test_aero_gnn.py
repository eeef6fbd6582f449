from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout, elu

from graphattn.models import AEROGNN, AEROGNNConfig
from graphattn.nn import record_attention


@pytest.fixture
def graph() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    edges = torch.randint(0, 20, (2, 40))
    loops = torch.arange(20).expand(2, -1)
    return torch.randn(20, 6), torch.cat([edges, edges.flip(0), loops], 1), torch.arange(20) % 4


def test_overfits_twenty_nodes(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, y = graph
    net = AEROGNN(6, 32, 2, 4, num_steps=4, heads=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        cross_entropy(net(x, edges), y).backward()
        optimizer.step()
    assert (net(x, edges).argmax(1) == y).all()


def test_saves_and_loads(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    net, file = AEROGNN(6, 32, 2, 4, num_steps=3).eval(), io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    twin = AEROGNN(6, 32, 2, 4, num_steps=3).eval()
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(x, edges), net(x, edges))


@pytest.mark.parametrize("num_steps", [0, 3])
def test_without_edges(num_steps: int) -> None:
    net = AEROGNN(6, 32, 2, 4, num_steps=num_steps)
    out = net(torch.randn(5, 6), torch.empty(2, 0, dtype=torch.long))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.numel() > 0)


@pytest.mark.parametrize("out_dropout", [None, 0.0])
def test_dropout_stands_where_the_authors_have_it(
    graph: tuple[Tensor, Tensor, Tensor], out_dropout: float | None
) -> None:
    x, edges, _ = graph
    net = AEROGNN(6, 32, 2, 4, num_steps=3, dropout=0.6, out_dropout=out_dropout).train()
    torch.manual_seed(5)
    out = net(x, edges)
    torch.manual_seed(5)
    h = net.lins[1](dropout(elu(net.lins[0](dropout(x, 0.6))), 0.6))
    z = elu(net.conv(h, edges))
    expected = net.lin_out(dropout(z, 0.6) if out_dropout is None else z)
    torch.testing.assert_close(out, expected)
    assert net.eval()(x, edges).equal(net(x, edges))


def test_sparse_features_give_the_same(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    x = x.relu()
    net = AEROGNN(6, 32, 1, 4, num_steps=3, dropout=0.6).eval()
    torch.testing.assert_close(net(x.to_sparse_csr(), edges), net(x, edges))
    net.train()
    net(x.to_sparse_csr(), edges).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_returns_the_attention_of_every_step(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    edges = torch.unique(edges, dim=1)
    net = AEROGNN(6, 32, 1, 4, num_steps=3, heads=2).eval()
    with record_attention(net) as records:
        out = net(x, edges)
    torch.testing.assert_close(out, net(x, edges))
    steps = [record for record in records if record.kind == "edge"]
    assert sum(record.alpha.numel() for record in steps) == edges.size(1) * 3 * 2
    assert all(torch.equal(record.edge_index, edges) for record in steps)
    assert net.hop_attention(x, edges).shape == (20, 4, 2)


def test_takes_its_width_from_the_first_input(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    net = AEROGNN(-1, 8, 1, 4, num_steps=1)
    assert net(x, edges).shape == (20, 4)
    before = net.lin_out.weight.detach().clone()
    net.reset_parameters()
    assert not torch.equal(net.lin_out.weight, before)
    assert repr(AEROGNN(5, 8, 1, 4, num_steps=1)) == "AEROGNN(5, 4, num_steps=1)"


def test_bad_input(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    with pytest.raises(ValueError, match=r"'heads' \(3\) must divide 'channels' \(32\)"):
        AEROGNN(6, 32, 1, 4, num_steps=1, heads=3)
    with pytest.raises(ValueError, match="'num_layers' must be at least 1, got 0"):
        AEROGNN(6, 32, 0, 4, num_steps=1)
    with pytest.raises(ValueError, match=r"'out_dropout' must lie in \[0, 1\], got 1.5"):
        AEROGNN(6, 32, 1, 4, num_steps=1, out_dropout=1.5)
    with pytest.raises(ValueError, match="'x' has 6 features per node, expected 7"):
        AEROGNN(7, 32, 1, 4, num_steps=1)(x, edges)
    with pytest.raises(ValueError, match="'edge_dim' must be None for AERO-GNN, got 3"):
        AEROGNNConfig().build(5, 3, edge_dim=3)
