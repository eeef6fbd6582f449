from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import NegativeSampling

from graphattn.sampling import LinkNeighborLoader

GENERATOR = torch.Generator().manual_seed(4)
EDGE_INDEX = torch.randint(70, (2, 900), generator=GENERATOR)
GRAPH = Data(x=torch.randn(70, 3, generator=GENERATOR), edge_index=EDGE_INDEX)
LINKS = torch.randint(70, (2, 40), generator=GENERATOR)
RATES = ("user", "rates", "film")


def films() -> HeteroData:
    data = HeteroData()
    data["user"].x, data["film"].x = torch.randn(20, 3), torch.randn(30, 2)
    ends = torch.randint(20, (300,), generator=GENERATOR)
    data[RATES].edge_index = torch.stack([ends, torch.randint(30, (300,), generator=GENERATOR)])
    data[RATES].stars = torch.randint(5, (300,), generator=GENERATOR)
    data["film", "rev_rates", "user"].edge_index = data[RATES].edge_index.flip(0)
    return data


def loader_of(**arguments: object) -> LinkNeighborLoader:
    given = {"edge_label_index": LINKS, "batch_size": 16, "seed": 1}
    return LinkNeighborLoader(GRAPH, [4, 2], **(given | arguments))


def test_links() -> None:
    seen = []
    for batch in loader_of(edge_label=torch.arange(40)):
        assert torch.equal(batch.n_id[batch.edge_label_index], LINKS[:, batch.input_id])
        assert torch.equal(batch.edge_label, batch.input_id)
        assert torch.equal(batch.n_id[batch.edge_index], EDGE_INDEX[:, batch.e_id])
        assert torch.equal(batch.x, GRAPH.x[batch.n_id])
        assert len(batch.n_id.unique()) == len(batch.n_id)
        degree = torch.bincount(batch.edge_index[1], minlength=len(batch.n_id))
        assert (degree <= 4).all()
        seen.append(batch.input_id)
    assert torch.equal(torch.cat(seen), torch.arange(40))


def test_all_edges_are_the_links() -> None:
    (batch,) = loader_of(edge_label_index=None, batch_size=900)
    assert torch.equal(batch.n_id[batch.edge_label_index], EDGE_INDEX)


def test_positional_arguments() -> None:
    labels = torch.arange(40)
    loader = LinkNeighborLoader(
        GRAPH, [4, 2], LINKS, labels, None, True, "directional", True, "uniform", "binary", None
    )
    assert loader.replace is loader.disjoint is True
    batch = loader([3, 2])
    assert batch.edge_label.tolist() == [4, 3, 0, 0]  # 0 is the label of no link


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"neg_sampling": "binary"}, 16),
        ({"neg_sampling_ratio": 0.5}, 8),
        ({"neg_sampling": NegativeSampling("binary", 2)}, 32),
        ({"neg_sampling": {"mode": "binary", "amount": 1.25}}, 20),
    ],
)
@pytest.mark.parametrize("disjoint", [False, True])
def test_pairs_that_are_none(arguments: dict[str, object], count: int, disjoint: bool) -> None:
    drawn = []
    for batch in loader_of(drop_last=True, disjoint=disjoint, **arguments):
        assert torch.equal(batch.edge_label, torch.tensor([1.0] * 16 + [0.0] * count))
        pairs = batch.n_id[batch.edge_label_index]
        assert torch.equal(pairs[:, :16], LINKS[:, batch.input_id])
        drawn.append(pairs[:, 16:])
        if disjoint:
            place = torch.arange(16 + count) % 16
            assert torch.equal(batch.batch[batch.edge_label_index], torch.stack([place, place]))
            src, dst = batch.edge_index
            assert torch.equal(batch.batch[src], batch.batch[dst])
    assert len(torch.cat(drawn, dim=1).unique(dim=1).T) > count


def test_pairs_are_uniform() -> None:
    drawn = torch.zeros(70)
    loader = loader_of(neg_sampling=NegativeSampling("binary", 50), batch_size=40)
    for _ in range(5):
        for batch in loader:
            ends = batch.n_id[batch.edge_label_index[:, 40:]].flatten()
            drawn += torch.bincount(ends, minlength=70)
    expected = drawn.sum() / 70
    # Mean 69, standard deviation 11.7.
    assert ((drawn - expected) ** 2 / expected).sum() < 125


def test_triplets() -> None:
    for batch in loader_of(neg_sampling=NegativeSampling("triplet", 3)):
        links = LINKS[:, batch.input_id]
        assert torch.equal(batch.n_id[batch.src_index], links[0])
        assert torch.equal(batch.n_id[batch.dst_pos_index], links[1])
        assert batch.dst_neg_index.shape == (len(batch.input_id), 3)
        assert "edge_label_index" not in batch


@pytest.mark.parametrize("links", [RATES, (RATES, None), "given", ("user", "film")])
def test_types(links: object) -> None:
    data = films()
    chosen = data[RATES].edge_index
    if links == "given":
        chosen = chosen[:, 100:200]
        links = (RATES, chosen)
    numbers = {RATES: [2, 2], ("film", "rev_rates", "user"): [3, 3]}
    loader = LinkNeighborLoader(data, numbers, links, neg_sampling="binary", batch_size=32)
    for batch in loader:
        store = batch[RATES]
        count = len(store.input_id)
        src, dst = store.edge_label_index
        assert torch.equal(batch["user"].n_id[src[:count]], chosen[0, store.input_id])
        assert torch.equal(batch["film"].n_id[dst[:count]], chosen[1, store.input_id])
        assert torch.equal(store.stars, data[RATES].stars[store.e_id])
        assert torch.equal(batch["film"].x, data["film"].x[batch["film"].n_id])


def test_times_of_links() -> None:
    data = GRAPH.clone()
    data.t = torch.arange(70)
    time = torch.full((40,), 30)
    loader = LinkNeighborLoader(
        data, [5, 5], LINKS, None, time, time_attr="t", neg_sampling="binary", batch_size=20
    )
    for batch in loader:
        seeds = torch.zeros(len(batch.n_id), dtype=torch.bool)
        seeds[batch.edge_label_index] = True
        assert (batch.t[~seeds] <= 30).all()
        assert (batch.edge_label_time == 30).all()


def links_of(*ends: int) -> Tensor:
    return torch.tensor([ends, ends])


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"edge_label_index": LINKS[0]}, ValueError, r"'edge_label_index' .* \[2, L\], got \[40\]"),
        ({"edge_label_index": LINKS.float()}, TypeError, r"'edge_label_index' .* torch\.float32"),
        ({"edge_label_index": [[1], [2]]}, TypeError, "'edge_label_index' must be a tensor"),
        ({"edge_label_index": links_of(70)}, ValueError, r"_index\[0\]' .* \[0, 70\), got 70"),
        ({"edge_label_index": links_of(3, -1)}, ValueError, r"_index\[0\]' .* got -1"),
        ({"edge_label": torch.ones(3)}, ValueError, "'edge_label' .* 40 links, got 3"),
        ({"edge_label_time": torch.ones(40)}, ValueError, "'edge_label_time' and 'time_attr'"),
    ],
)
def test_bad_links(changed: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        loader_of(**changed)


def test_bad_types() -> None:
    data = films()
    for links, error, text in (
        (None, TypeError, "'edge_label_index' must be an edge type, .* got NoneType"),
        (LINKS, TypeError, "'edge_label_index' must be an edge type, .* got Tensor"),
        ((("user", "likes", "film"), LINKS), ValueError, "must name an edge type of 'data'"),
        ((RATES, links_of(25)), ValueError, r"'edge_label_index\[0\]' .* \[0, 20\), got 25"),
    ):
        with pytest.raises(error, match=text):
            LinkNeighborLoader(data, [2], links)
    matrix = Data(adj_t=torch.eye(3).to_sparse_csr(), num_nodes=3)
    with pytest.raises(ValueError, match="'edge_label_index' must be given"):
        LinkNeighborLoader(matrix, [2])
