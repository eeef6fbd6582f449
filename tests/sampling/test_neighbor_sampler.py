from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch_geometric import loader as pyg
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import (
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    NumNeighbors,
)

from graphattn.sampling import NeighborSampler

EDGE_INDEX = torch.randint(80, (2, 1500), generator=torch.Generator().manual_seed(2))
GRAPH = Data(num_nodes=80, edge_index=EDGE_INDEX, w=torch.rand(1500), t=torch.arange(80))
SEEDS = torch.tensor([5, 70, 33])
WRITES, CITES = ("author", "writes", "paper"), ("paper", "cites", "paper")


def types() -> HeteroData:
    generator = torch.Generator().manual_seed(1)
    data = HeteroData()
    data["author"].num_nodes, data["paper"].num_nodes = 30, 50
    ends = torch.randint(30, (400,), generator=generator)
    data[WRITES].edge_index = torch.stack([ends, torch.randint(50, (400,), generator=generator)])
    data[CITES].edge_index = torch.randint(50, (2, 600), generator=generator)
    data[WRITES].w = torch.rand(400, generator=generator)
    data["paper"].t = torch.arange(50)
    return data


def sampled(
    sampler: NeighborSampler, nodes: Tensor = SEEDS, name: str | None = None, seed: int = 1
):
    return sampler.sample_from_nodes(NodeSamplerInput(None, nodes, None, name), seed=seed)


@pytest.mark.parametrize("arguments", [{}, {"weight_attr": "w"}, {"replace": True}])
@pytest.mark.parametrize("disjoint", [False, True])
def test_sizes_are_bounded(arguments: Mapping[str, object], disjoint: bool) -> None:
    out = sampled(NeighborSampler(GRAPH, [4, 2], disjoint=disjoint, **arguments))
    assert torch.equal(torch.stack([out.node[out.row], out.node[out.col]]), EDGE_INDEX[:, out.edge])
    degree = torch.bincount(EDGE_INDEX[1], minlength=80)
    inner = sum(out.num_sampled_nodes[:2])
    count = torch.bincount(out.col, minlength=len(out.node))
    expected = degree[out.node[:inner]]
    fan_out = torch.tensor([4] * 3 + [2] * (inner - 3))
    replace = arguments.get("replace", False)
    assert torch.equal(
        count[:inner],
        torch.where(expected > 0, fan_out, 0) if replace else expected.minimum(fan_out),
    )
    assert not count[inner:].any()
    assert out.num_sampled_edges == [int(count[:3].sum()), int(count[3:].sum())]
    assert sum(out.num_sampled_nodes) == len(out.node)
    if disjoint:
        assert torch.equal(out.batch[:3], torch.arange(3))
        assert torch.equal(out.batch[out.row], out.batch[out.col])
    else:
        assert out.batch is None
        assert len(out.node.unique()) == len(out.node)


@pytest.mark.parametrize("arguments", [{}, {"disjoint": True}, {"weight_attr": "w"}])
def test_draws_are_picked_by_the_seed(arguments: Mapping[str, object]) -> None:
    sampler = NeighborSampler(GRAPH, [4, 2], **arguments)
    assert torch.equal(sampled(sampler).edge, sampled(sampler).edge)
    assert not torch.equal(sampled(sampler).edge, sampled(sampler, seed=2).edge)
    torch.manual_seed(0)
    one, other = sampled(sampler, seed=None), sampled(sampler, seed=None)
    assert not torch.equal(one.edge, other.edge)
    torch.manual_seed(0)
    assert torch.equal(sampled(sampler, seed=None).edge, one.edge)


def test_weights_are_those_of_the_edges() -> None:
    data = GRAPH.clone()
    data.w = (torch.arange(1500) % 3 == 0).float()
    out = sampled(NeighborSampler(data, [3, 3], weight_attr="w"))
    assert len(out.edge) > 10
    assert (out.edge % 3 == 0).all()


def test_bidirectional() -> None:
    plain = sampled(NeighborSampler(GRAPH, [4, 2]))
    out = sampled(NeighborSampler(GRAPH, [4, 2], "bidirectional"))
    assert torch.equal(out.node, plain.node)
    forward = set(zip(plain.row.tolist(), plain.col.tolist(), strict=True))
    both = set(zip(out.row.tolist(), out.col.tolist(), strict=True))
    assert both == forward | {(b, a) for a, b in forward}
    assert out.num_sampled_nodes is out.num_sampled_edges is None


def test_induced() -> None:
    with pytest.warns(UserWarning, match="'directed' is deprecated"):
        sampler = NeighborSampler(GRAPH, [4, 2], directed=False)
    out = sampled(sampler)
    assert torch.equal(out.node, sampled(NeighborSampler(GRAPH, [4, 2], disjoint=False)).node)
    inside = torch.isin(EDGE_INDEX, out.node).all(dim=0).nonzero().view(-1)
    assert torch.equal(out.edge.sort().values, inside)
    assert torch.equal(torch.stack([out.node[out.row], out.node[out.col]]), EDGE_INDEX[:, out.edge])


def test_types_of_nodes_and_edges() -> None:
    data = types()
    sampler = NeighborSampler(data, {WRITES: [3, 2], CITES: [0, 4]})
    out = sampled(sampler, torch.tensor([7, 1]), "paper")
    assert out.node["paper"][:2].tolist() == [7, 1]
    for key in (WRITES, CITES):
        ends = torch.stack([out.node[key[0]][out.row[key]], out.node[key[2]][out.col[key]]])
        assert torch.equal(ends, data[key].edge_index[:, out.edge[key]])
    assert out.num_sampled_edges[WRITES][0] == 6
    # Papers are reached by citation alone, which the first hop leaves out.
    assert out.num_sampled_edges[CITES] == [0, 0]
    assert out.num_sampled_nodes == {"author": [0, len(out.node["author"]), 0], "paper": [2, 0, 0]}
    one = sampled(NeighborSampler(data, [3, 2], weight_attr="w"), torch.tensor([7]), "paper")
    assert one.num_sampled_edges[CITES][0] == 3
    assert one.num_sampled_edges[WRITES] == [3, 6]


def test_types_apart() -> None:
    data = types()
    out = sampled(NeighborSampler(data, [3, 2], disjoint=True), torch.tensor([7, 7]), "paper")
    for key in (WRITES, CITES):
        src, dst = out.batch[key[0]][out.row[key]], out.batch[key[2]][out.col[key]]
        assert torch.equal(src, dst)
    assert out.batch["paper"][:2].tolist() == [0, 1]
    assert set(out.batch["author"].tolist()) == {0, 1}


def test_defaults_for_types() -> None:
    sampler = NeighborSampler(types(), NumNeighbors({WRITES: [2]}, default=[1]))
    out = sampled(sampler, torch.tensor([7]), "paper")
    assert out.num_sampled_edges == {WRITES: [2], CITES: [1]}
    sampler.num_neighbors = [0]
    assert sampled(sampler, torch.tensor([7]), "paper").num_sampled_edges[WRITES] == [0]


@pytest.mark.parametrize("strategy", ["uniform", "last"])
def test_times(strategy: str) -> None:
    sampler = NeighborSampler(GRAPH, [5, 5], temporal_strategy=strategy, time_attr="t")
    assert sampler.disjoint
    out = sampled(sampler)
    assert (out.node <= SEEDS[out.batch]).all()  # a node's number is its time
    given = NodeSamplerInput(None, SEEDS, torch.full((3,), 20))
    out = sampler.sample_from_nodes(given, seed=1)
    assert (out.node[3:] <= 20).all()
    assert len(out.node) > 10


def test_times_of_types() -> None:
    out = sampled(NeighborSampler(types(), [5, 5], time_attr="t"), torch.tensor([20]), "paper")
    assert (out.node["paper"] <= 20).all()
    assert len(out.node["author"]) > 0


def test_times_of_edges_need_those_of_seeds() -> None:
    data = GRAPH.clone()
    data.t = torch.arange(1500)
    sampler = NeighborSampler(data, [5], time_attr="t")
    with pytest.raises(ValueError, match="'input_time' must be given"):
        sampled(sampler)
    out = sampler.sample_from_nodes(NodeSamplerInput(None, SEEDS, torch.full((3,), 700)))
    assert len(out.edge) > 0
    assert (out.edge <= 700).all()


def links(data: Data | HeteroData, count: int = 6, key: tuple[str, str, str] | None = None):
    edge_index = data.edge_index if key is None else data[key].edge_index
    row, col = edge_index[:, :count]
    return EdgeSamplerInput(torch.arange(count), row, col, None, None, key)


@pytest.mark.parametrize("amount", [1, 0.5, 2, 1.5])
@pytest.mark.parametrize("key", [None, WRITES, CITES])
@pytest.mark.parametrize("disjoint", [False, True])
def test_links_and_pairs_that_are_none(
    amount: float, key: tuple[str, str, str] | None, disjoint: bool
) -> None:
    data = GRAPH if key is None else types()
    sampler = NeighborSampler(data, [2], disjoint=disjoint)
    out = sampler.sample_from_edges(links(data, 6, key), NegativeSampling("binary", amount), seed=3)
    _, edge_label_index, label, _ = out.metadata
    negatives = math.ceil(6 * amount)
    assert torch.equal(label, torch.tensor([1.0] * 6 + [0.0] * negatives))
    node = (out.node, out.node) if key is None else (out.node[key[0]], out.node[key[2]])
    expected = links(data, 6, key)
    assert torch.equal(node[0][edge_label_index[0, :6]], expected.row)
    assert torch.equal(node[1][edge_label_index[1, :6]], expected.col)
    assert edge_label_index.shape == (2, 6 + negatives)
    if disjoint:
        batch = (out.batch,) * 2 if key is None else (out.batch[key[0]], out.batch[key[2]])
        link = torch.arange(6 + negatives) % 6
        assert torch.equal(batch[0][edge_label_index[0]], link)
        assert torch.equal(batch[1][edge_label_index[1]], link)
    again = sampler.sample_from_edges(
        links(data, 6, key), NegativeSampling("binary", amount), seed=3
    )
    assert torch.equal(again.metadata[1], edge_label_index)


@pytest.mark.parametrize("amount", [1, 3])
@pytest.mark.parametrize("key", [None, WRITES, CITES])
@pytest.mark.parametrize("disjoint", [False, True])
def test_triplets(amount: int, key: tuple[str, str, str] | None, disjoint: bool) -> None:
    data = GRAPH if key is None else types()
    sampler = NeighborSampler(data, [2], disjoint=disjoint)
    negatives = NegativeSampling("triplet", amount)
    out = sampler.sample_from_edges(links(data, 6, key), negatives, seed=3)
    _, src, positive, negative, _ = out.metadata
    node = (out.node, out.node) if key is None else (out.node[key[0]], out.node[key[2]])
    assert torch.equal(node[0][src], links(data, 6, key).row)
    assert torch.equal(node[1][positive], links(data, 6, key).col)
    assert negative.shape == ((6,) if amount == 1 else (6, amount))
    if disjoint:
        batch = (out.batch,) * 2 if key is None else (out.batch[key[0]], out.batch[key[2]])
        assert torch.equal(batch[0][src], torch.arange(6))
        assert torch.equal(batch[1][positive], torch.arange(6))
        assert torch.equal(
            batch[1][negative].view(6, -1), torch.arange(6).view(6, 1).expand(-1, amount)
        )


def test_other_links_have_other_negatives() -> None:
    sampler = NeighborSampler(GRAPH, [2])
    given = links(GRAPH, 40)
    drawn = []
    for places in (torch.arange(20), torch.arange(20, 40), torch.arange(20)):
        out = sampler.sample_from_edges(given[places], NegativeSampling("binary"), seed=3)
        drawn.append(out.node[out.metadata[1][:, 20:]])
    assert torch.equal(drawn[0], drawn[2])
    assert (drawn[0] == drawn[1]).double().mean() < 0.2


def test_weights_of_negatives() -> None:
    weight = torch.zeros(80)
    weight[[11, 13]] = 1
    sampler = NeighborSampler(GRAPH, [2])
    negatives = NegativeSampling("triplet", 2, dst_weight=weight)
    out = sampler.sample_from_edges(links(GRAPH), negatives, seed=3)
    assert set(out.node[out.metadata[3]].flatten().tolist()) == {11, 13}


def test_pyg_s_loader_takes_it() -> None:
    sampler = NeighborSampler(GRAPH, [4, 2])
    loader = pyg.NeighborLoader(GRAPH, [4, 2], neighbor_sampler=sampler, batch_size=20)
    for batch in loader:
        assert torch.equal(batch.n_id[batch.edge_index], EDGE_INDEX[:, batch.e_id])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"num_neighbors": []}, ValueError, "'num_neighbors' .* got none"),
        ({"num_neighbors": 5}, TypeError, "'num_neighbors' must be a list .* got 5"),
        ({"num_neighbors": {CITES: [1]}}, TypeError, "'num_neighbors' must be a list for a graph"),
        ({"subgraph_type": "whole"}, ValueError, "'subgraph_type' must be one of .* 'whole'"),
        ({"temporal_strategy": "first"}, ValueError, "'temporal_strategy' .* got 'first'"),
        ({"replace": 0}, TypeError, "'replace' must be True or False, got 0"),
        (
            {"temporal_strategy": "last", "weight_attr": "w", "time_attr": "t"},
            ValueError,
            "'weight_attr' must be None with temporal_strategy='last', got 'w'",
        ),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        NeighborSampler(GRAPH, **({"num_neighbors": [2]} | arguments))


def test_bad_numbers_for_types() -> None:
    with pytest.raises(ValueError, match=r"'num_neighbors' must hold .* got -5"):
        NeighborSampler(types(), {WRITES: [1], CITES: [-5]})
    with pytest.raises(ValueError, match="edge type"):
        NeighborSampler(types(), {WRITES: [1]})
