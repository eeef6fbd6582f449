from __future__ import annotations

import inspect
import os
import pickle
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.utilities.data import _replace_dunder_methods, _update_dataloader
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    SequentialSampler,
    WeightedRandomSampler,
)
from torch_geometric.data import Data

from graphattn.sampling import LinkNeighborLoader, NeighborLoader
from graphattn.sampling._batches import checked_seed


def make_graph(nodes: int = 60, edges: int = 900) -> Data:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    data = Data(x=torch.randn(nodes, 4, generator=generator), edge_index=edge_index)
    data.w = torch.rand(edges, generator=generator)
    return data


GRAPH = make_graph()
LINKS = GRAPH.edge_index[:, :50]


def nodes_of(**arguments: object) -> NeighborLoader:
    return NeighborLoader(GRAPH, [3, 2], **({"batch_size": 16, "seed": 5} | arguments))


def links_of(**arguments: object) -> LinkNeighborLoader:
    given = {"edge_label_index": LINKS, "neg_sampling": "binary", "batch_size": 16, "seed": 5}
    return LinkNeighborLoader(GRAPH, [3, 2], **(given | arguments))


def same(one: list[Data], other: list[Data]) -> bool:
    """Whether two passes gave the same batches, in all that they hold."""
    return len(one) == len(other) and all(
        a.keys() == b.keys()
        and all(torch.equal(a[k], b[k]) if isinstance(a[k], Tensor) else a[k] == b[k] for k in a)
        for a, b in zip(
            (batch.to_dict() for batch in one), (batch.to_dict() for batch in other), strict=True
        )
    )


LOADERS = pytest.mark.parametrize("make", [nodes_of, links_of])


@LOADERS
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", [{}, {"disjoint": True}, {"weight_attr": "w"}])
def test_a_batch_is_a_function_of_seed_and_epoch(
    make, kind: dict[str, object], shuffle: bool
) -> None:
    arguments = {"shuffle": shuffle, **kind}
    loader = make(**arguments)
    epochs = [list(loader), list(loader)]
    assert not same(*epochs)
    orders = [torch.cat([batch.input_id for batch in epoch]) for epoch in epochs]
    assert torch.equal(*orders) != shuffle
    torch.manual_seed(99)  # torch's own generator has no part in it
    again = make(**arguments)
    again.set_epoch(1)
    assert same(list(again), epochs[1])
    again.set_epoch(0)
    assert same(list(again), epochs[0])
    assert not same(list(make(seed=6, **arguments)), epochs[0])


def test_negatives_leave_the_users_generator_alone() -> None:
    def drawn(make) -> Tensor:
        torch.manual_seed(3)
        for _ in make():
            pass
        return torch.rand(4)

    # Torch's loader draws one number for its workers, whatever it loads.
    assert torch.equal(drawn(links_of), drawn(lambda: DataLoader(range(50))))


@LOADERS
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("filter_per_worker", [False, True])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_make_the_same_batches(make, filter_per_worker: bool, persistent: bool) -> None:
    alone = make(shuffle=True)
    expected = [list(alone), list(alone)]
    loader = make(
        shuffle=True,
        num_workers=2,
        persistent_workers=persistent,
        filter_per_worker=filter_per_worker,
    )
    for epoch in expected:
        assert same(list(loader), epoch)


def test_without_a_seed_torchs_counts() -> None:
    def batches(seed: int) -> list[Data]:
        torch.manual_seed(seed)
        return list(nodes_of(seed=None, shuffle=True))

    assert same(batches(1), batches(1))
    assert not same(batches(1), batches(2))


def test_a_generator_shuffles() -> None:
    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        loader = nodes_of(seed=None, shuffle=True, generator=generator)
        assert loader.generator is generator
        return torch.cat([batch.input_id for batch in loader]).tolist()

    torch.manual_seed(0)
    first = order(1)
    torch.manual_seed(1)
    assert order(1) == first
    assert order(2) != first
    assert sorted(first) == list(range(60))


def test_samplers_of_the_user() -> None:
    weights = torch.zeros(60)
    weights[[4, 7]] = 1.0
    sampler = WeightedRandomSampler(weights, 40, generator=torch.Generator().manual_seed(0))
    loader = nodes_of(sampler=sampler)
    assert len(loader) == 3
    batches = list(loader)
    assert [batch.batch_size for batch in batches] == [16, 16, 8]
    for batch in batches:
        assert set(batch.input_id.tolist()) == {4, 7}
        assert torch.equal(batch.input_id, batch.n_id[: batch.batch_size])
        assert torch.equal(batch.x, GRAPH.x[batch.n_id])
        assert torch.equal(batch.n_id[batch.edge_index], GRAPH.edge_index[:, batch.e_id])
    groups = [[3, 1], [2], [5, 6, 7]]
    loader = NeighborLoader(GRAPH, [2], batch_sampler=groups)
    assert len(loader) == 3
    assert [batch.input_id.tolist() for batch in loader] == groups
    lists = BatchSampler(SequentialSampler(range(60)), 25, False)
    loader = NeighborLoader(GRAPH, [2], batch_size=None, sampler=lists)
    assert [batch.batch_size for batch in loader] == [25, 25, 10]


def test_a_call_samples_around_places() -> None:
    mask = torch.zeros(60, dtype=torch.bool)
    mask[[9, 12, 40]] = True
    loader = nodes_of(input_nodes=mask)
    for index in ([2, 0], torch.tensor([2, 0])):
        batch = loader(index)
        assert batch.input_id.tolist() == [40, 9]
        assert batch.n_id[:2].tolist() == [40, 9]


def test_what_the_graph_is_given_later_is_in_the_batches() -> None:
    data = make_graph()
    loader = NeighborLoader(data, [3], batch_size=60)
    for value in ([f"node {i}" for i in range(60)], [f"name {i}" for i in range(60)]):
        data.name = value
        data.y = torch.tensor([len(value[i]) for i in range(60)])
        (batch,) = loader
        assert batch.name == [value[i] for i in batch.n_id]
        assert torch.equal(batch.y, data.y[batch.n_id])


def test_length_and_iteration() -> None:
    loader = nodes_of(drop_last=True)
    assert len(loader) == 3
    assert len(loader.dataset) == 60
    assert list(loader.dataset) == list(range(60))
    assert (loader.batch_size, loader.drop_last) == (16, True)
    assert len(list(loader)) == len(list(loader)) == 3


def note_worker(worker: int) -> None:
    torch.set_num_threads(1)
    os.environ["GRAPHATTN_TEST_WORKER"] = str(worker)


def tag(batch: Data) -> Data:
    batch.worker = os.environ.get("GRAPHATTN_TEST_WORKER")
    return batch


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_keywords_of_torch() -> None:
    loader = nodes_of(
        num_workers=2,
        worker_init_fn=note_worker,
        transform=tag,
        prefetch_factor=1,
        timeout=60,
        multiprocessing_context="fork",
        pin_memory=False,
        in_order=True,
    )
    assert [batch.worker for batch in loader] == ["0", "1", "0", "1"]
    assert same([tag(batch) for batch in nodes_of()], list(nodes_of(transform=tag)))


@LOADERS
def test_a_loader_can_be_sent_to_a_process(make) -> None:
    loader = make()
    again = pickle.loads(pickle.dumps(loader))
    assert same(list(again), list(loader))


@LOADERS
def test_every_argument_is_an_attribute(make) -> None:
    """By which frameworks make a loader anew."""
    loader = make()
    names = [
        name
        for name, parameter in inspect.signature(type(loader)).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    assert len(names) > 18
    assert [name for name in names if not hasattr(loader, name)] == []


@LOADERS
@pytest.mark.parametrize("shuffle", [False, True])
def test_lightning_makes_it_anew(make, shuffle: bool) -> None:
    loader = make(shuffle=shuffle, replace=True, transform=tag, weight_attr="w")
    ranks = []
    for rank in range(2):
        sampler = DistributedSampler(loader.dataset, num_replicas=2, rank=rank, shuffle=shuffle)
        again = _update_dataloader(loader, sampler)
        assert type(again) is type(loader)
        assert again.sampler is sampler
        assert (again.seed, again.batch_size) == (5, 16)
        assert again.neighbor_sampler is loader.neighbor_sampler
        assert again.transform is tag
        ranks.append(torch.cat([batch.input_id for batch in again]))
    assert torch.equal(torch.cat(ranks).sort().values, torch.arange(len(loader.dataset)))


def test_lightning_makes_anew_what_was_made_in_its_hooks() -> None:
    with _replace_dunder_methods(DataLoader, "dataset"):
        loader = NeighborLoader(GRAPH, [3, 2], None, None, True, batch_size=16, shuffle=True)
    again = _update_dataloader(loader, SequentialSampler(loader.dataset))
    assert isinstance(again.sampler, SequentialSampler)
    assert again.replace is True
    assert torch.equal(torch.cat([batch.input_id for batch in again]), torch.arange(60))


def test_links_keep_their_labels_when_made_anew() -> None:
    labels = torch.arange(50)
    loader = links_of(edge_label=labels, neg_sampling=None, neg_sampling_ratio=1.0, disjoint=True)
    again = _update_dataloader(loader, SequentialSampler(loader.dataset))
    assert same(list(again), list(loader))


@pytest.fixture
def distributed() -> Iterator[Fabric]:
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    fabric = Fabric(accelerator="cpu", devices=1, strategy="ddp")
    fabric.launch()
    yield fabric
    dist.destroy_process_group()


def test_fabric_shares_the_seeds_of_a_loader(distributed: Fabric) -> None:
    loader = distributed.setup_dataloaders(nodes_of(shuffle=True))
    assert isinstance(loader.sampler, DistributedSampler)
    orders = [torch.cat([batch.input_id for batch in loader]).tolist() for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(60))
    assert orders[0] != orders[1]


def test_the_epoch_is_told_to_a_sampler() -> None:
    sampler = DistributedSampler(range(60), num_replicas=2, rank=1, shuffle=True)
    loader = nodes_of(sampler=sampler)
    loader.set_epoch(4)
    assert sampler.epoch == 4
    with pytest.raises(ValueError, match="'epoch' must be at least 0, got -1"):
        loader.set_epoch(-1)


@pytest.mark.parametrize(
    ("seed", "error", "text"),
    [
        (0.5, TypeError, "'seed' must be a whole number, got 0.5"),
        (True, TypeError, "'seed' must be a whole number, got True"),
        (-1, ValueError, r"'seed' must lie in \[0, 2\*\*63\), got -1"),
        (2**63, ValueError, "'seed' .* got 9223372036854775808"),
    ],
)
def test_bad_seeds(seed: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        checked_seed(seed, None)
