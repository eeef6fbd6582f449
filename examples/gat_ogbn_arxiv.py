"""GAT on ogbn-arxiv, full graph: 3 layers with batch normalisation and residuals.

The accuracy of this script has not been measured here. Hu et al. 2020 (OGB) describe the split.

Usage: python examples/gat_ogbn_arxiv.py [--epochs 500]
"""

import argparse

import torch
from torch.nn.functional import cross_entropy
from torch_geometric.transforms import ToUndirected

from graphattn.data import load
from graphattn.models import GAT

parser = argparse.ArgumentParser()
parser.add_argument("--root", default=None, help="folder of data sets")
parser.add_argument("--hidden_channels", type=int, default=256)
parser.add_argument("--num_layers", type=int, default=3)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--dropout", type=float, default=0.5)
parser.add_argument("--lr", type=float, default=0.002)
parser.add_argument("--epochs", type=int, default=500)
args = parser.parse_args()

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
data = load("ogbn-arxiv", root=args.root, transform=ToUndirected()).to(device)
model = GAT(
    data.num_features,
    args.hidden_channels,
    args.num_layers,
    data.num_classes,
    dropout=args.dropout,
    act="elu",
    input_dropout=args.dropout,
    heads=args.heads,
    out_heads=1,
    attention_dropout=0.0,
    norm="batch_norm",
    residual=True,
).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)


def train():
    model.train()
    optimizer.zero_grad()
    out = model(data.x, data.edge_index)
    loss = cross_entropy(out[data.train_mask], data.y[data.train_mask])
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def test():
    model.eval()
    correct = model(data.x, data.edge_index).argmax(dim=-1) == data.y
    masks = (data.train_mask, data.val_mask, data.test_mask)
    return [float(correct[mask].float().mean()) for mask in masks]


best_val = test_acc = 0.0
for epoch in range(1, args.epochs + 1):
    loss = train()
    train_acc, val_acc, now = test()
    if val_acc > best_val:
        best_val, test_acc = val_acc, now
    print(
        f"Epoch {epoch:03d}, loss {loss:.4f}, train {train_acc:.4f}, val {val_acc:.4f}, "
        f"test at best val {test_acc:.4f}"
    )
