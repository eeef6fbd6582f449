"""Programs in the manner of PyG's examples, in which only the import of the loader is ours."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GAT, GraphSAGE, HeteroConv, SAGEConv
from torch_geometric.transforms import RandomLinkSplit, ToSparseTensor, ToUndirected
from torch_geometric.utils import trim_to_layer

from graphattn.data import csbm
from graphattn.sampling import LinkNeighborLoader, NeighborLoader


def graph() -> Data:
    return csbm(300, num_classes=3, homophily=0.9, num_features=8, signal=2.0, seed=0)


def test_node_classification() -> None:
    """As `ogbn_train.py`: three loaders, one of all nodes for inference layer by layer."""
    torch.manual_seed(0)
    data = graph()
    splits = {name: data[f"{name}_mask"].nonzero().view(-1) for name in ("train", "val", "test")}
    loaders = {
        name: NeighborLoader(
            data,
            input_nodes=nodes,
            num_neighbors=[10, 5],
            batch_size=64,
            shuffle=name == "train",
            num_workers=0,
            persistent_workers=False,
            disjoint=False,
        )
        for name, nodes in splits.items()
    }
    everything = NeighborLoader(
        data, input_nodes=None, num_neighbors=[-1], batch_size=128, shuffle=False
    )
    model = GAT(8, 16, num_layers=2, out_channels=3, heads=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def train() -> float:
        model.train()
        total = 0.0
        for batch in loaders["train"]:
            optimizer.zero_grad()
            out = model(batch.x, batch.edge_index)[: batch.batch_size]
            loss = functional.cross_entropy(out, batch.y[: batch.batch_size].view(-1))
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * batch.batch_size
        return total / len(splits["train"])

    @torch.no_grad()
    def test(loader: NeighborLoader) -> float:
        model.eval()
        right = seen = 0
        for batch in loader:
            out = model(batch.x, batch.edge_index)[: batch.batch_size].argmax(dim=-1)
            right += int((out == batch.y[: batch.batch_size]).sum())
            seen += batch.batch_size
        return right / seen

    losses = [train() for _ in range(5)]
    assert losses[-1] < losses[0]
    assert test(loaders["test"]) > 0.85
    model.eval()
    whole = model(data.x, data.edge_index)
    torch.testing.assert_close(model.inference(everything), whole, atol=1e-4, rtol=1e-4)


def test_link_prediction() -> None:
    """Links split off, binary negatives, the score an inner product."""
    torch.manual_seed(0)
    data = ToUndirected()(graph())
    split = RandomLinkSplit(num_val=0.1, num_test=0.1, is_undirected=True, neg_sampling_ratio=0.0)
    train, _, test = split(data)
    loader = LinkNeighborLoader(
        train,
        num_neighbors=[10, 5],
        edge_label_index=train.edge_label_index,
        edge_label=train.edge_label,
        neg_sampling="binary",
        batch_size=128,
        shuffle=True,
    )
    model = GraphSAGE(8, 32, num_layers=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def score(batch: Data) -> Tensor:
        h = model(batch.x, batch.edge_index)
        src, dst = batch.edge_label_index
        return (h[src] * h[dst]).sum(dim=-1)

    losses = []
    for _ in range(4):
        total = 0.0
        for batch in loader:
            optimizer.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(score(batch), batch.edge_label)
            loss.backward()
            optimizer.step()
            total += float(loss.detach())
        losses.append(total)
    assert losses[-1] < 0.9 * losses[0]
    links = LinkNeighborLoader(
        test, [10, 5], test.edge_label_index, neg_sampling="triplet", batch_size=64
    )
    model.eval()
    for batch in links:
        assert batch.dst_neg_index.shape == batch.src_index.shape
        assert model(batch.x, batch.edge_index).size(0) == batch.num_nodes


class OfTypes(nn.Module):
    """Two layers for several relations, each on the part of a batch that it needs."""

    def __init__(self, edge_types: list[tuple[str, str, str]]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            HeteroConv({key: SAGEConv((-1, -1), 16) for key in edge_types}) for _ in range(2)
        )
        self.lin = nn.Linear(16, 3)

    def forward(self, batch: HeteroData) -> Tensor:
        x, edge_index = batch.x_dict, batch.edge_index_dict
        for layer, conv in enumerate(self.convs):
            x, edge_index, _ = trim_to_layer(
                layer,
                batch.num_sampled_nodes_dict,
                batch.num_sampled_edges_dict,
                x,
                edge_index,
            )
            x = {key: h.relu() for key, h in conv(x, edge_index).items()}
        return self.lin(x["paper"])


def test_several_types() -> None:
    """As PyG's programs on academic graphs: papers, authors, reverse edges, a pair as seeds."""
    torch.manual_seed(0)
    homogeneous = graph()
    data = HeteroData()
    for name in ("x", "y", "train_mask", "val_mask", "test_mask"):
        data["paper"][name] = homogeneous[name]
    data["paper", "cites", "paper"].edge_index = homogeneous.edge_index
    data["author"].x = torch.randn(80, 4)
    authors = torch.randint(80, (600,))
    data["author", "writes", "paper"].edge_index = torch.stack([authors, torch.arange(600) % 300])
    data = ToUndirected()(data)
    loaders = {
        name: NeighborLoader(
            data,
            num_neighbors={key: [6, 4] for key in data.edge_types},
            batch_size=64,
            input_nodes=("paper", data["paper"][f"{name}_mask"]),
            shuffle=name == "train",
        )
        for name in ("train", "test")
    }
    model = OfTypes(data.edge_types)
    with torch.no_grad():
        model(next(iter(loaders["train"])))  # sizes are found on the way
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for batch in loaders["train"]:
            optimizer.zero_grad()
            count = batch["paper"].batch_size
            loss = functional.cross_entropy(model(batch)[:count], batch["paper"].y[:count])
            loss.backward()
            optimizer.step()
    right = seen = 0
    for batch in loaders["test"]:
        count = batch["paper"].batch_size
        out = model(batch)[:count].argmax(dim=-1)
        right += int((out == batch["paper"].y[:count]).sum())
        seen += count
    assert right / seen > 0.7


def test_lightning() -> None:
    """A model and loaders that Fabric sets up."""
    torch.manual_seed(0)
    data = graph()
    fabric = Fabric(accelerator="cpu", devices=1)
    module = GraphSAGE(8, 16, num_layers=2, out_channels=3)
    model, optimizer = fabric.setup(module, torch.optim.Adam(module.parameters(), lr=0.01))
    loader = fabric.setup_dataloaders(
        NeighborLoader(data, [5, 5], data.train_mask, batch_size=32, shuffle=True)
    )
    losses = []
    for _ in range(5):
        total = 0.0
        for batch in loader:
            optimizer.zero_grad()
            out = model(batch.x, batch.edge_index)[: batch.batch_size]
            loss = functional.cross_entropy(out, batch.y[: batch.batch_size])
            fabric.backward(loss)
            optimizer.step()
            total += float(loss.detach())
        losses.append(total)
    assert losses[-1] < losses[0]


def test_sparse_matrices() -> None:
    """After `ToSparseTensor`, which makes `adj_t` of the edges."""
    torch.manual_seed(0)
    data = graph()
    expected_model = GraphSAGE(8, 16, num_layers=1, out_channels=3).eval()
    expected = expected_model(data.x, data.edge_index)
    data = ToSparseTensor()(data)
    for batch in NeighborLoader(data, num_neighbors=[-1], batch_size=50):
        out = expected_model(batch.x, batch.adj_t)[: batch.batch_size]
        torch.testing.assert_close(out, expected[batch.n_id[: batch.batch_size]])
