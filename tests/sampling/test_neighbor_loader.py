from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import SamplerOutput
from torch_geometric.testing import MyFeatureStore, MyGraphStore
from torch_geometric.utils import k_hop_subgraph

from graphattn.data import csbm
from graphattn.models import GAT
from graphattn.sampling import NeighborLoader
from graphattn.train import TrainConfig, fit


def make_graph(nodes: int = 200, edges: int = 3000, seed: int = 0) -> Data:
    """Unsorted edges, some twice, more at the first nodes; some nodes without any."""
    generator = torch.Generator().manual_seed(seed)
    ends = (torch.rand(2, edges, generator=generator) ** 2 * nodes).long()
    x = torch.randn(nodes, 6, generator=generator)
    data = Data(x=x, edge_index=ends, y=x.argmax(dim=1) % 3)
    data.edge_attr = torch.randn(edges, 2, generator=generator)
    part = torch.randperm(nodes, generator=generator) % 3
    data.train_mask, data.val_mask, data.test_mask = (part == i for i in range(3))
    data.name = "toy"
    return data


@pytest.fixture
def graph() -> Data:
    return make_graph()


def same(one: list[Data], other: list[Data]) -> bool:
    """Whether two passes gave the same batches."""
    return len(one) == len(other) and all(
        torch.equal(a.n_id, b.n_id)
        and torch.equal(a.e_id, b.e_id)
        and torch.equal(a.edge_index, b.edge_index)
        and torch.equal(a.x, b.x)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("replace", [False, True])
def test_a_batch_holds_its_part_of_everything(graph: Data, replace: bool) -> None:
    loader = NeighborLoader(graph, [5, 3], batch_size=32, replace=replace)
    assert len(loader) == 7
    seeds = []
    for batch in loader:
        assert torch.equal(batch.x, graph.x[batch.n_id])
        assert torch.equal(batch.y, graph.y[batch.n_id])
        assert torch.equal(batch.val_mask, graph.val_mask[batch.n_id])
        assert torch.equal(batch.edge_attr, graph.edge_attr[batch.e_id])
        assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])
        assert batch.name == "toy"
        assert batch.num_nodes == sum(batch.num_sampled_nodes) == len(batch.n_id.unique())
        assert batch.num_edges == sum(batch.num_sampled_edges)
        assert len(batch.num_sampled_nodes) == 3
        assert len(batch.num_sampled_edges) == 2
        assert (len(batch.e_id.unique()) < batch.num_edges) == replace
        assert batch.edge_index.dtype == batch.n_id.dtype == batch.e_id.dtype == torch.long
        assert torch.equal(batch.input_id, batch.n_id[: batch.batch_size])
        seeds.append(batch.input_id)
    assert torch.equal(torch.cat(seeds), torch.arange(200))
    assert batch.batch_size == 200 - 6 * 32
    assert graph.num_nodes == 200  # the graph itself is as it was
    assert "n_id" not in graph


def test_all_neighbours_are_the_hops_around_the_seeds(graph: Data) -> None:
    for batch in NeighborLoader(graph, [-1, -1], batch_size=3):
        nodes, _, _, _ = k_hop_subgraph(batch.input_id, 2, graph.edge_index)
        assert torch.equal(batch.n_id.sort().values, nodes)
        inner = batch.n_id[: sum(batch.num_sampled_nodes[:2])]
        entering = torch.isin(graph.edge_index[1], inner).nonzero().view(-1)
        assert torch.equal(batch.e_id.sort().values, entering)


def test_input_nodes(graph: Data) -> None:
    mask = graph.train_mask
    nodes = mask.nonzero().view(-1)
    by_mask = list(NeighborLoader(graph, [3], input_nodes=mask, batch_size=9))
    by_number = list(NeighborLoader(graph, [3], input_nodes=nodes.int(), batch_size=9))
    by_list = list(NeighborLoader(graph, [3], input_nodes=nodes.tolist(), batch_size=9))
    assert same(by_mask, by_number)
    assert same(by_mask, by_list)
    assert torch.equal(torch.cat([batch.input_id for batch in by_mask]), nodes)
    assert torch.equal(torch.cat([batch.input_id for batch in by_list]), torch.arange(len(nodes)))
    order = torch.tensor([7, 3, 150])
    (batch,) = NeighborLoader(graph, [3], input_nodes=order, batch_size=3)
    assert torch.equal(batch.n_id[:3], order)
    assert list(NeighborLoader(graph, [3], input_nodes=[])) == []


def test_epochs_differ_and_can_be_repeated(graph: Data) -> None:
    loader = NeighborLoader(graph, [2, 2], batch_size=64, seed=3)
    first, second = list(loader), list(loader)
    assert torch.equal(first[0].input_id, second[0].input_id)
    assert not same(first, second)
    again = NeighborLoader(graph, [2, 2], batch_size=64, seed=3)
    again.set_epoch(1)
    assert same(list(again), second)
    again.set_epoch(0)
    assert same(list(again), first)
    assert same(list(again), second)
    assert not same(list(NeighborLoader(graph, [2, 2], batch_size=64, seed=4)), first)


def test_passes_at_the_same_time_are_epochs_of_their_own(graph: Data) -> None:
    loader = NeighborLoader(graph, [2], batch_size=64)
    expected = [list(loader), list(loader)]
    loader.set_epoch(0)
    both = list(zip(iter(loader), iter(loader), strict=True))
    assert same([batch for batch, _ in both], expected[0])
    assert same([batch for _, batch in both], expected[1])


def test_shuffle(graph: Data) -> None:
    def order(loader: NeighborLoader) -> Tensor:
        return torch.cat([batch.input_id for batch in loader])

    loader = NeighborLoader(graph, [2], batch_size=64, shuffle=True, seed=3)
    first, second = order(loader), order(loader)
    assert torch.equal(first.sort().values, torch.arange(200))
    assert not torch.equal(first, torch.arange(200))
    assert not torch.equal(first, second)
    again, other = (
        NeighborLoader(graph, [2], batch_size=64, shuffle=True, seed=seed) for seed in (3, 4)
    )
    torch.manual_seed(5)  # torch's own generator has no part in it
    assert torch.equal(order(again), first)
    assert not torch.equal(order(other), first)


def test_drop_last(graph: Data) -> None:
    loader = NeighborLoader(graph, [2], batch_size=64, drop_last=True)
    assert len(loader) == 3
    assert [batch.batch_size for batch in loader] == [64, 64, 64]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_make_the_same_batches(graph: Data, persistent: bool) -> None:
    arguments = {"batch_size": 32, "shuffle": True, "seed": 1}
    alone = NeighborLoader(graph, [4, 4], **arguments)
    expected = [list(alone), list(alone)]
    loader = NeighborLoader(
        graph, [4, 4], num_workers=2, persistent_workers=persistent, prefetch_factor=1, **arguments
    )
    for epoch in expected:
        assert same(list(loader), epoch)


def test_what_a_worker_gets_can_be_sent_to_it(graph: Data) -> None:
    loader = NeighborLoader(graph, [4], batch_size=5)
    task = next(iter(loader._index_sampler))
    dataset, collate = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn)))
    assert same([collate(dataset.__getitems__(task))], [next(iter(loader))])


def test_seeds_come_out_as_from_the_whole_graph(graph: Data) -> None:
    torch.manual_seed(0)
    model = GAT(6, 16, num_layers=2, out_channels=3, heads=4, edge_dim=2).double().eval()
    graph.x, graph.edge_attr = graph.x.double(), graph.edge_attr.double()
    with torch.no_grad():
        expected = model(graph.x, graph.edge_index, edge_attr=graph.edge_attr)
        for batch in NeighborLoader(graph, [-1, -1], batch_size=7, shuffle=True):
            out = model(batch.x, batch.edge_index, edge_attr=batch.edge_attr)[: batch.batch_size]
            torch.testing.assert_close(out, expected[batch.n_id[: batch.batch_size]])


@pytest.mark.parametrize("num_neighbors", [[4, 3], [-1, -1], [5, 0]])
def test_trimming_leaves_the_seeds_as_they_are(graph: Data, num_neighbors: list[int]) -> None:
    torch.manual_seed(0)
    model = GAT(6, 16, num_layers=2, out_channels=3, heads=4, edge_dim=2).double().eval()
    graph.x, graph.edge_attr = graph.x.double(), graph.edge_attr.double()
    with torch.no_grad():
        for batch in NeighborLoader(graph, num_neighbors, batch_size=16):
            whole = model(batch.x, batch.edge_index, edge_attr=batch.edge_attr)
            trimmed = model(
                batch.x,
                batch.edge_index,
                edge_attr=batch.edge_attr,
                num_sampled_nodes_per_hop=batch.num_sampled_nodes,
                num_sampled_edges_per_hop=batch.num_sampled_edges,
            )
            assert len(trimmed) < len(whole) or batch.num_sampled_nodes[2] == 0
            seeds = slice(batch.batch_size)
            torch.testing.assert_close(trimmed[seeds], whole[seeds])


def test_training_on_batches() -> None:
    graph = csbm(240, num_classes=3, homophily=0.9, num_features=6, signal=2.0)

    def trained(seed: int) -> tuple[float, Tensor]:
        torch.manual_seed(0)
        model = GAT(6, 16, num_layers=2, out_channels=3, heads=4)
        loader = NeighborLoader(
            graph,
            [5, 5],
            input_nodes=graph.train_mask,
            batch_size=16,
            shuffle=True,
            seed=seed,
        )
        config = TrainConfig(lr=0.01, max_epochs=5, accelerator="cpu")
        report = fit(model, graph, config, batches=loader, progress=False)
        return report.test_metric, model.convs[0].lin.weight.detach()

    accuracy, weight = trained(0)
    assert accuracy > 0.9
    assert torch.equal(trained(0)[1], weight)
    assert not torch.equal(trained(1)[1], weight)


def as_csr(data: Data) -> None:
    data.x = (data.x * (data.x > 0)).to_sparse_csr()


def as_edge_index(data: Data) -> None:
    data.edge_index = EdgeIndex(data.edge_index, sparse_size=(200, 200))


def as_int32(data: Data) -> None:
    data.edge_index = data.edge_index.int()


@pytest.mark.parametrize("change", [as_csr, as_edge_index, as_int32])
def test_other_forms(graph: Data, change: Callable[[Data], None]) -> None:
    expected = list(NeighborLoader(graph, [3, 3], batch_size=50))
    change(graph)
    for batch, plain in zip(NeighborLoader(graph, [3, 3], batch_size=50), expected, strict=True):
        assert torch.equal(batch.e_id, plain.e_id)
        assert torch.equal(batch.edge_index, plain.edge_index)
        if batch.x.layout == torch.sparse_csr:
            assert torch.equal(batch.x.to_dense(), plain.x.clamp(min=0))
        else:
            assert torch.equal(batch.x, plain.x)


def test_transform(graph: Data) -> None:
    def count(batch: Data) -> Data:
        return Data(count=batch.num_nodes)

    assert [b.count for b in NeighborLoader(graph, [1], batch_size=100, transform=count)] == [
        b.num_nodes for b in NeighborLoader(graph, [1], batch_size=100)
    ]


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"data": [1, 2]}, TypeError, "'data' must be a .*Data .*, got list"),
        ({"data": Data(x=torch.zeros(3, 1))}, TypeError, r"'data\.edge_index' .* got NoneType"),
        (
            {"data": Data(x=torch.zeros(1, 1), edge_index=torch.tensor([[0], [1]]))},
            ValueError,
            "'edge_index\\[1\\]' must lie in",
        ),
        ({"num_neighbors": []}, ValueError, "'num_neighbors' .* got none"),
        ({"num_neighbors": [-3]}, ValueError, "'num_neighbors' .* got -3"),
        ({"input_nodes": torch.ones(3, dtype=torch.bool)}, ValueError, r"mask of shape \[3\]"),
        ({"input_nodes": torch.tensor([200])}, ValueError, r"\[0, 200\), got 200"),
        ({"input_nodes": [0.5]}, TypeError, r"'input_nodes' .* got torch\.float32"),
        ({"input_nodes": [[1]]}, ValueError, r"'input_nodes' must have shape \[S\], got \[1, 1\]"),
        ({"num_neighbors": {("a", "to", "b"): [2]}}, TypeError, "'num_neighbors' must be a list"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"subgraph_type": "all"}, ValueError, "'subgraph_type' must be one of .* got 'all'"),
        ({"disjoint": 1}, TypeError, "'disjoint' must be True or False, got 1"),
        ({"seed": 0.5}, TypeError, "'seed' must be a whole number, got 0.5"),
        ({"seed": -1}, ValueError, "'seed' .* got -1"),
        ({"replace": "no"}, TypeError, "'replace' must be True or False, got 'no'"),
    ],
)
def test_bad_input(
    graph: Data, changed: dict[str, object], error: type[Exception], text: str
) -> None:
    arguments = {"data": graph, "num_neighbors": [2]} | changed
    with pytest.raises(error, match=text):
        NeighborLoader(arguments.pop("data"), arguments.pop("num_neighbors"), **arguments)


def test_bad_epoch(graph: Data) -> None:
    with pytest.raises(ValueError, match="'epoch' must be at least 0, got -1"):
        NeighborLoader(graph, [1]).set_epoch(-1)


def test_positional_arguments(graph: Data) -> None:
    graph.t = torch.arange(200)
    loader = NeighborLoader(
        graph,
        [3],
        torch.tensor([7, 3]),
        torch.tensor([50, 60]),
        True,
        "directional",
        True,
        "uniform",
        "t",
        None,
        None,
        None,
        True,
        True,
    )
    (batch,) = [loader([0, 1])]
    assert batch.n_id[:2].tolist() == [7, 3]
    assert (batch.n_id[2:] <= torch.tensor([50, 60])[batch.batch[2:]]).all()
    assert batch.seed_time.tolist() == [50, 60]


@pytest.mark.parametrize("form", ["pair", "numpy", "int32"])
def test_forms_of_input_nodes(graph: Data, form: str) -> None:
    nodes = graph.val_mask.nonzero().view(-1)
    given = {"pair": (None, graph.val_mask), "numpy": nodes.numpy(), "int32": nodes.int()}[form]
    loader = NeighborLoader(graph, [3], given, batch_size=20)
    assert torch.equal(torch.cat([b.n_id[: b.batch_size] for b in loader]), nodes)


def test_nodes_may_repeat(graph: Data) -> None:
    nodes = torch.tensor([7, 7, 3, 7])
    (batch,) = NeighborLoader(graph, [4, 2], nodes, batch_size=4, seed=0)
    assert torch.equal(batch.n_id[:4], nodes)
    assert torch.equal(batch.y[:4], graph.y[nodes])
    assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])
    drawn = [frozenset(batch.e_id[batch.edge_index[1] == i].tolist()) for i in (0, 1, 3)]
    assert len(set(drawn)) == 3


def test_every_input_node_apart(graph: Data) -> None:
    for batch in NeighborLoader(graph, [4, 2], disjoint=True, batch_size=30):
        assert torch.equal(batch.batch[: batch.batch_size], torch.arange(batch.batch_size))
        assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
        assert len(torch.stack([batch.batch, batch.n_id]).unique(dim=1).T) == len(batch.n_id)
        assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])


def test_names_of_input_nodes(graph: Data) -> None:
    input_id = torch.arange(500, 503)
    (batch,) = NeighborLoader(graph, [2], [5, 6, 7], input_id=input_id, batch_size=3)
    assert torch.equal(batch.input_id, input_id)


def test_transform_of_what_was_sampled(graph: Data) -> None:
    def without_edges(out: SamplerOutput) -> SamplerOutput:
        out.row, out.col, out.edge = out.row[:0], out.col[:0], out.edge[:0]
        return out

    as_csr(graph)  # whose rows are selected by us
    for batch in NeighborLoader(graph, [2], transform_sampler_output=without_edges, batch_size=50):
        assert batch.num_edges == 0
        assert batch.edge_attr.shape == (0, 2)
        assert batch.x.size(0) == len(batch.n_id)


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo])
def test_matrix_in_place_of_edges(layout: torch.layout) -> None:
    dense = torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    dense[dense < 0.7] = 0
    data = Data(x=torch.eye(40), adj_t=dense.to_sparse(layout=layout))
    for batch in NeighborLoader(data, [-1], batch_size=8):
        assert batch.adj_t.layout == layout
        assert batch.adj_t.shape == (len(batch.n_id), len(batch.n_id))
        assert torch.equal(batch.adj_t.to_dense()[:8], dense[batch.n_id[:8]][:, batch.n_id])
        assert not batch.adj_t.to_dense()[8:].any()


def papers() -> HeteroData:
    generator = torch.Generator().manual_seed(0)
    data = HeteroData()
    data["paper"].x = torch.randn(60, 5, generator=generator)
    data["paper"].y = torch.arange(60) % 3
    data["paper"].train_mask = torch.arange(60) % 2 == 0
    data["author"].x = torch.randn(25, 4, generator=generator).to_sparse_csr()
    data["author"].name = [f"author {i}" for i in range(25)]
    ends = torch.randint(25, (300,), generator=generator)
    writes = torch.stack([ends, torch.randint(60, (300,), generator=generator)])
    data["author", "writes", "paper"].edge_index = writes
    data["author", "writes", "paper"].order = torch.arange(300)
    data["paper", "cites", "paper"].edge_index = torch.randint(60, (2, 400), generator=generator)
    return data


@pytest.mark.parametrize("given", ["type", "mask", "none", "numbers"])
@pytest.mark.parametrize("disjoint", [False, True])
def test_types(given: str, disjoint: bool) -> None:
    data = papers()
    mask = data["paper"].train_mask
    nodes = {
        "type": "paper",
        "none": ("paper", None),
        "mask": ("paper", mask),
        "numbers": ("paper", mask.nonzero().view(-1)),
    }[given]
    loader = NeighborLoader(data, [3, 2], nodes, batch_size=20, disjoint=disjoint)
    everything = given in ("type", "none")
    assert len(loader) == (3 if everything else 2)
    seeds = []
    for batch in loader:
        paper, author = batch["paper"], batch["author"]
        seeds.append(paper.n_id[: paper.batch_size])
        assert torch.equal(paper.x, data["paper"].x[paper.n_id])
        assert torch.equal(author.x.to_dense(), data["author"].x.to_dense()[author.n_id])
        assert author.name == [f"author {i}" for i in author.n_id.tolist()]
        for key in data.edge_types:
            store = batch[key]
            src, dst = store.edge_index
            ends = torch.stack([batch[key[0]].n_id[src], batch[key[2]].n_id[dst]])
            assert torch.equal(ends, data[key].edge_index[:, store.e_id])
            assert len(store.num_sampled_edges) == 2
        writes = batch["author", "writes", "paper"]
        assert torch.equal(writes.order, writes.e_id)
        assert ("batch" in paper) == disjoint
        assert sum(paper.num_sampled_nodes) == paper.num_nodes
    expected = torch.arange(60) if everything else mask.nonzero().view(-1)
    assert torch.equal(torch.cat(seeds), expected)


@pytest.mark.parametrize("kind", ["bidirectional", "induced"])
def test_kinds_of_subgraphs_of_types(kind: str) -> None:
    data = papers()
    key = ("paper", "rev_writes", "author")
    data[key].edge_index = data["author", "writes", "paper"].edge_index.flip(0)
    for batch in NeighborLoader(data, [3, 2], "paper", subgraph_type=kind, batch_size=20):
        for edge_type in data.edge_types:
            src, dst = batch[edge_type].edge_index
            ends = torch.stack([batch[edge_type[0]].n_id[src], batch[edge_type[2]].n_id[dst]])
            whole = {tuple(edge) for edge in data[edge_type].edge_index.T.tolist()}
            if kind == "bidirectional" and edge_type[0] == edge_type[2]:
                whole |= {(b, a) for a, b in whole}
            assert {tuple(edge) for edge in ends.T.tolist()} <= whole
        forward = batch["author", "writes", "paper"].edge_index
        back = batch[key].edge_index.flip(0)
        assert set(map(tuple, forward.T.tolist())) == set(map(tuple, back.T.tolist()))


def test_stores_of_features_and_edges(graph: Data) -> None:
    features, edges = MyFeatureStore(), MyGraphStore()
    features.put_tensor(graph.x, group_name=None, attr_name="x", index=None)
    edges.put_edge_index(graph.edge_index, edge_type=None, layout="coo", size=(200, 200))
    for batch in NeighborLoader((features, edges), [3, 2], graph.train_mask, batch_size=50):
        assert torch.equal(batch.x, graph.x[batch.n_id])
        assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])
        assert graph.train_mask[batch.input_id].all()


def test_stores_of_types() -> None:
    data = papers()
    features, edges = MyFeatureStore(), MyGraphStore()
    for name, x in (("paper", data["paper"].x), ("author", data["author"].x.to_dense())):
        features.put_tensor(x, group_name=name, attr_name="x", index=None)
    for key in data.edge_types:
        size = data[key[0]].num_nodes, data[key[2]].num_nodes
        edges.put_edge_index(data[key].edge_index, edge_type=key, layout="coo", size=size)
    for batch in NeighborLoader((features, edges), [3, 2], "paper", batch_size=20):
        for key in data.edge_types:
            src, dst = batch[key].edge_index
            ends = torch.stack([batch[key[0]].n_id[src], batch[key[2]].n_id[dst]])
            assert torch.equal(ends, data[key].edge_index[:, batch[key].e_id])
        assert torch.equal(batch["paper"].x, data["paper"].x[batch["paper"].n_id])


@pytest.mark.parametrize(
    ("nodes", "error", "text"),
    [
        (None, TypeError, "'input_nodes' must be a node type, or a pair .* got NoneType"),
        (torch.arange(3), TypeError, "'input_nodes' must be a node type, .* got Tensor"),
        ("film", ValueError, "'input_nodes' must name one of paper, author, got 'film'"),
        (("paper", [60]), ValueError, r"'input_nodes' must lie in \[0, 60\), got 60"),
        (("author", torch.ones(3).bool()), ValueError, r"mask of shape \[25\] .* \[3\]"),
    ],
)
def test_bad_input_nodes_of_types(nodes: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        NeighborLoader(papers(), [2], nodes)
