from __future__ import annotations

import torch
from torch_geometric.nn import GCNConv

from graphattn.calibration.gcn import GCN, NormalizedGraph

# A self-loop, a parallel edge, and node 4 on its own.
EDGES = torch.tensor([[0, 1, 1, 2, 3, 3], [1, 0, 0, 2, 0, 1]])


def test_equals_pyg_s_layers() -> None:
    torch.manual_seed(0)
    net = GCN(3, 8, 2, dropout=0.5).double().eval()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    convs = [GCNConv(3, 8).double(), GCNConv(8, 2).double()]
    for conv, lin in zip(convs, (net.lin1, net.lin2), strict=True):
        torch.nn.init.normal_(lin.bias)
        conv.lin.weight.data, conv.bias.data = lin.weight.data, lin.bias.data
    expected = convs[1](convs[0](x, EDGES).relu(), EDGES)
    found = net(x, NormalizedGraph.of(EDGES, 5, torch.float64))
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    grads = [torch.autograd.grad((out * direction).sum(), x)[0] for out in (found, expected)]
    torch.testing.assert_close(*grads)


def test_start_is_that_of_pyg() -> None:
    net = GCN(3, 8, 2, dropout=0.0)
    assert not net.lin1.bias.any()
    assert float(net.lin1.weight.detach().abs().max()) <= (6 / 11) ** 0.5


def test_dropout_in_training_alone() -> None:
    net, graph = GCN(3, 64, 2, dropout=0.5), NormalizedGraph.of(EDGES, 5, torch.float32)
    x = torch.randn(5, 3)
    assert not torch.equal(net(x, graph), net(x, graph))
    net.eval()
    assert torch.equal(net(x, graph), net(x, graph))


def test_no_edges_and_no_nodes() -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    net = GCN(3, 8, 2, dropout=0.0)
    assert net(torch.empty(0, 3), NormalizedGraph.of(none, 0, torch.float32)).shape == (0, 2)
    x = torch.randn(4, 3)
    expected = net.lin2(net.lin1(x).relu())
    torch.testing.assert_close(net(x, NormalizedGraph.of(none, 4, torch.float32)), expected)
