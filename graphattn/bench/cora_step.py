"""A training step of the paper's GAT on Cora: ours against PyG's layers in PyG's form."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric import nn as pyg
from torch_geometric.data import Data

from graphattn.bench.measuring import Contender
from graphattn.recipes import load_data, recipe

__all__ = ["cora_step"]


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


def cora_step(root: str | os.PathLike[str] | None) -> list[Contender]:
    """Contenders of the case; all start from the same weights."""
    experiment = recipe("gat/cora")
    sparse = load_data(experiment.data, root=root)
    dense = sparse.clone()
    dense.x = sparse.x.to_dense()
    settings = experiment.model
    theirs = _PyGNetwork(dense.num_node_features, dense.num_classes, settings.dropout)
    models = {"graphattn, sparse features": sparse, "graphattn, dense features": dense}
    contenders = [_contender("PyG GATConv", theirs, dense, experiment.train.lr)]
    for name, data in models.items():
        ours = settings.build(data.num_node_features, data.num_classes)
        ours.load_state_dict(theirs.state_dict())
        contenders.append(_contender(name, ours, data, experiment.train.lr))
    return contenders


def _contender(name: str, model: nn.Module, data: Data, lr: float) -> Contender:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=5e-4)
    x, edge_index, y, mask = data.x, data.edge_index, data.y, data.train_mask

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(model(x, edge_index)[mask], y[mask]))
        optimizer.step()

    @torch.no_grad()
    def output() -> Tensor:
        model.eval()
        out: Tensor = model(x, edge_index)
        return out

    return Contender(name, step, output)
