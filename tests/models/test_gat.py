from __future__ import annotations

import inspect
import io
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout, elu
from torch_geometric import nn as pyg
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader as PyGLoader
from torch_geometric.nn import to_hetero
from torch_geometric.nn.models.basic_gnn import BasicGNN

from graphattn.models import GAT, GATv2
from graphattn.nn import record_attention
from graphattn.sampling import NeighborLoader

MODELS = [GAT, GATv2]


@pytest.fixture
def graph() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(20, 6), torch.randint(0, 20, (2, 60)), torch.arange(20) % 4


def twins(*args: Any, **options: Any) -> tuple[GAT, pyg.GAT]:
    """Ours and PyG's model with PyG's weights."""
    ours, theirs = GAT(*args, **options), pyg.GAT(*args, **options)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


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


OPTIONS: list[dict[str, Any]] = [
    {},
    {"v2": True, "share_weights": True},
    {"out_channels": None},
    {"num_layers": 1},
    {"act": "leaky_relu", "act_kwargs": {"negative_slope": 0.3}, "act_first": True},
    {"act": None},
    {"act": torch.nn.functional.gelu},
    {"norm": "layer_norm", "norm_kwargs": {"mode": "node"}},
    {"norm": "batch_norm", "act_first": True},
    {"norm": torch.nn.BatchNorm1d(32)},
    {"norm": "graph_norm"},
    {"jk": "last"},
    {"jk": "cat", "norm": "layer_norm", "num_layers": 4},
    {"jk": "max", "out_channels": None},
    {"jk": "lstm"},
    {"concat": False},
    {"concat": False, "heads": 3, "jk": "cat"},
    {"residual": True, "bias": False, "negative_slope": 0.4},
    {"add_self_loops": False, "v2": True},
    {"dropout": 0.5, "norm": "batch_norm"},
    {"dropout": 0.5, "jk": "cat"},
    {"flow": "target_to_source"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_pyg_s_model_with_its_weights(
    options: dict[str, Any], graph: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, edges, _ = graph
    settings = {"num_layers": 3, "out_channels": 4, "heads": 4} | options
    ours, theirs = twins(6, 32, **settings)
    assert dict(ours.named_modules()).keys() - {"input_dropout"} <= (
        dict(theirs.named_modules()).keys()
    )
    for conv in (*ours.convs, *theirs.convs):
        assert conv.dropout == settings.get("dropout", 0.0)
        # The one thing that can't agree: which coefficients are dropped.
        conv.dropout = 0.0
    for training in (True, False):
        results = []
        for model in (ours, theirs):
            model.train(training)
            model.zero_grad()
            torch.manual_seed(1)
            out = model(x, edges)
            out.square().sum().backward()
            grads = {name: p.grad for name, p in model.named_parameters()}
            results.append((out, grads, dict(model.named_buffers())))
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_a_plain_swap_as_in_the_issue() -> None:
    torch.manual_seed(0)
    x, edges = torch.randn(30, 16), torch.randint(30, (2, 90))
    ours, theirs = twins(16, 64, 2, 7, heads=8)
    torch.testing.assert_close(ours(x, edges), theirs(x, edges))
    # A positional call with everything that stands in front of the options.
    positional = (6, 32, 3, 4, 0.1, "elu", True, {"alpha": 0.5}, "layer_norm", {"eps": 1e-3}, "cat")
    ours, theirs = (model.eval() for model in twins(*positional))
    torch.testing.assert_close(ours(x[:, :6], edges), theirs(x[:, :6], edges))


def test_takes_the_arguments_of_pyg_s_model_in_its_order() -> None:
    for method in ("__init__", "forward", "inference", "inference_per_layer"):
        peer = inspect.signature(getattr(BasicGNN, method)).parameters
        ours = inspect.signature(getattr(GAT, method)).parameters
        names = [name for name in peer if name != "kwargs"]
        assert list(ours)[: len(names)] == names
        for name in names:
            assert ours[name].default == peer[name].default, (method, name)
            assert ours[name].kind == peer[name].kind, (method, name)


def test_is_a_model_of_pyg() -> None:
    assert isinstance(GAT(6, 8, 2), pyg.GAT)


def test_takes_pairs_edge_features_and_batches(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    edges = edges[:, edges[0] != edges[1]]
    edge_attr, weight = torch.randn(edges.size(1), 3), torch.rand(edges.size(1))
    ours, theirs = twins(6, 32, 3, 4, heads=4, edge_dim=3, norm="graph_norm")
    batch = torch.arange(20) // 10
    for options in ({"edge_attr": edge_attr}, {"edge_attr": edge_attr, "batch": batch}):
        torch.testing.assert_close(ours(x, edges, **options), theirs(x, edges, **options))
    every = (x, edges, weight, edge_attr, batch, 2)
    torch.testing.assert_close(ours(*every), theirs(*every))
    torch.testing.assert_close(ours(x, edges, weight), theirs(x, edges, weight))
    for layers in (1, 2):
        # Both kinds of nodes have as many, as PyG's later layers need.
        ours, theirs = twins((6, 5), 32, layers, 4, heads=4)
        pair = (x, torch.randn(20, 5))
        torch.testing.assert_close(ours(pair, edges), theirs(pair, edges))
    lazy = GAT((-1, -1), 8, 1, 4, add_self_loops=False, input_dropout=0.5)
    bipartite = torch.tensor([[0, 7, 19], [0, 1, 4]])
    assert lazy((x, torch.randn(5, 3)), bipartite).shape == (5, 4)


METADATA = (
    ["author", "paper"],
    [("author", "writes", "paper"), ("paper", "by", "author"), ("paper", "cites", "paper")],
)


@pytest.mark.parametrize("options", [{}, {"v2": True, "norm": "batch_norm", "jk": "cat"}], ids=str)
def test_becomes_heterogeneous_as_pyg_s_model(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    x = {"author": torch.randn(5, 6), "paper": torch.randn(4, 3)}
    edges = {
        METADATA[1][0]: torch.tensor([[0, 1, 2, 4], [0, 1, 3, 3]]),
        METADATA[1][1]: torch.tensor([[0, 1, 2], [0, 4, 3]]),
        METADATA[1][2]: torch.tensor([[0, 1], [2, 3]]),
    }
    ours, theirs = (
        to_hetero(
            kind((-1, -1), 8, 2, 3, heads=2, add_self_loops=False, **options), METADATA
        ).eval()
        for kind in (GAT, pyg.GAT)
    )
    theirs(x, edges)
    ours(x, edges)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x, edges), theirs(x, edges))


@pytest.mark.parametrize("loader", [NeighborLoader, PyGLoader])
@pytest.mark.parametrize("options", [{}, {"jk": "last", "norm": "layer_norm"}, {"edge_dim": 2}])
def test_infers_layer_by_layer(
    loader: Any, options: dict[str, Any], graph: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, edges, _ = graph
    if loader is PyGLoader:
        pytest.importorskip("pyg_lib")
    options = {"norm_kwargs": {"mode": "node"}, **options} if "norm" in options else options
    edges = edges[:, edges[0] != edges[1]].unique(dim=1)
    data = Data(x=x, edge_index=edges, edge_attr=torch.randn(edges.size(1), 2))
    model = GAT(6, 16, 3, 4, heads=2, **options).eval()
    attr = data.edge_attr if "edge_dim" in options else None
    expected = model(x, edges, edge_attr=attr)
    for shuffle, cache in ((False, True), (True, False)):
        batches = loader(data, [-1], batch_size=7, shuffle=shuffle)
        out = model.inference(batches, cache=cache)
        torch.testing.assert_close(out, expected)
        assert not out.requires_grad


def test_inference_equals_pyg_s_on_one_batch(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    for options in ({}, {"jk": "last", "act_first": True}):
        ours, theirs = (model.eval() for model in twins(6, 32, 2, 4, heads=4, **options))
        for layer, features in enumerate((x, torch.randn(20, 32))):
            expected = theirs.inference_per_layer(layer, features, edges, 5)
            torch.testing.assert_close(
                ours.inference_per_layer(layer, features, edges, 5), expected
            )


def test_inference_says_what_it_needs(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    data = Data(x=x, edge_index=edges)
    model = GAT(6, 16, 2, 4)
    with pytest.raises(ValueError, match="'inference' needs a model in evaluation mode"):
        model.inference(NeighborLoader(data, [-1]))
    model.eval()
    with pytest.raises(ValueError, match=r"'loader' must sample one hop .*, it samples 2"):
        model.inference(NeighborLoader(data, [-1, -1]))
    with pytest.raises(ValueError, match="'loader' must go through all 20 nodes, it leaves out 18"):
        model.inference(NeighborLoader(data, [-1], input_nodes=torch.tensor([3, 4])))
    with pytest.raises(ValueError, match=r"'jk' must be None or 'last' .*, got 'cat'"):
        GAT(6, 16, 2, 4, jk="cat").eval().inference(NeighborLoader(data, [-1]))


def test_torchscript_is_refused_with_a_reason() -> None:
    with pytest.raises(TypeError, match=r"GATConv can't be compiled by torch\.jit\.script"):
        torch.jit.script(GAT(6, 8, 2, 4))


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


def test_says_the_paper_s_network(graph: tuple[Tensor, Tensor, Tensor]) -> None:
    x, edges, _ = graph
    net = GAT(6, 32, 2, 4, dropout=0.6, act="elu", heads=4, out_heads=1, input_dropout=0.6).train()
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
    net = model(6, 32, 2, 4, dropout=0.6, heads=4, input_dropout=0.6).eval()
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
    with record_attention(net) as records:
        out = net(x, edges)
    torch.testing.assert_close(out, net(x, edges))
    assert [record.alpha.size(1) for record in records] == [4, 4, 2]
    for record in records:
        returned, alpha = record.edge_index, record.alpha
        assert torch.equal(returned[:, : edges.size(1)], edges)
        total = torch.zeros(20, alpha.size(1)).index_add(0, returned[1], alpha)
        torch.testing.assert_close(total, torch.ones_like(total))


def test_trims_sampled_blocks() -> None:
    # Seed 0 has neighbours 1 and 2, which have neighbours 3 and 4.
    x, edges = torch.randn(5, 6), torch.tensor([[1, 2, 3, 4], [0, 0, 1, 2]])
    ours, theirs = twins(6, 8, 2, 4, heads=2)
    sizes = {"num_sampled_nodes_per_hop": [1, 2, 2], "num_sampled_edges_per_hop": [2, 2]}
    trimmed = ours(x, edges, **sizes)
    torch.testing.assert_close(trimmed[0], ours(x, edges)[0])
    torch.testing.assert_close(trimmed, theirs(x, edges, **sizes))


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
