"""A training step of the paper's GAT on Cora: ours against PyG's layers in PyG's form."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric import nn as pyg
from torch_geometric.data import Data

from graphattn.bench.case import Lineup, Settings
from graphattn.bench.measuring import Contender
from graphattn.models import GATConfig
from graphattn.ops import use_implementation
from graphattn.recipes import load_data, recipe

__all__ = ["lineup"]


class _PyGNetwork(nn.Module):
    """Two `GATConv` with dropout on the input of each, as PyG's own example for GAT has it."""

    def __init__(self, in_channels: int, out_channels: int, p: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                pyg.GATConv(in_channels, 8, heads=8, dropout=p),
                pyg.GATConv(64, out_channels, heads=1, concat=False, dropout=p),
            ]
        )
        self.dropout = nn.Dropout(p)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = nn.functional.elu(self.convs[0](self.dropout(x), edge_index))
        out: Tensor = self.convs[1](self.dropout(x), edge_index)
        return out


def lineup(settings: Settings) -> Lineup:
    """Contenders of the case; all start from the same weights.

    Args:
        settings: Wishes of the user.
    """
    experiment = recipe("gat/cora")
    sparse = load_data(experiment.data, root=settings.root)
    dense = sparse.clone()
    dense.x = sparse.x.to_dense()
    torch.manual_seed(0)
    # PyG's layer has no third dropout.
    model, lr = GATConfig(dropout=0.6, value_dropout=0.0), experiment.train.lr
    theirs = _PyGNetwork(dense.num_node_features, dense.num_classes, model.dropout)
    exact = _output(copy.deepcopy(theirs).double(), dense.x.double(), dense.edge_index)
    contenders = [_contender("PyG GATConv", "pyg", theirs, dense, lr)]
    for kind, name, data, plain in (
        ("ours", "sparse features", sparse, False),
        ("ours plain", "sparse features, attention in plain torch", sparse, True),
        ("ours dense", "dense features", dense, False),
    ):
        ours = model.build(data.num_node_features, data.num_classes)
        ours.load_state_dict(theirs.state_dict())
        contenders.append(_contender(f"graphattn, {name}", kind, ours, data, lr, plain=plain))
    return Lineup(contenders, (), exact)


def _contender(
    name: str, kind: str, model: nn.Module, data: Data, lr: float, *, plain: bool = False
) -> Contender:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=5e-4)
    x, edge_index, y, mask = data.x, data.edge_index, data.y, data.train_mask
    untrained = copy.deepcopy(model)

    def forward() -> Tensor:
        model.train()
        optimizer.zero_grad()
        with use_implementation("reference", "attend") if plain else nullcontext():
            return cross_entropy(model(x, edge_index)[mask], y[mask])

    def backward(loss: Tensor) -> None:
        torch.autograd.backward(loss)
        optimizer.step()

    return Contender(
        name, kind, forward, backward, results=lambda: _output(untrained, x, edge_index)
    )


@torch.no_grad()
def _output(model: nn.Module, x: Tensor, edge_index: Tensor) -> dict[str, Tensor]:
    model.eval()
    return {"output": model(x, edge_index)}
