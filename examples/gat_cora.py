"""GAT on Cora with the layers of graphattn in a plain PyG script.

Usage: python examples/gat_cora.py [--epochs 200]
"""

import argparse

import torch
from torch.nn.functional import cross_entropy, dropout, elu
from torch_geometric.transforms import NormalizeFeatures

from graphattn.data import load
from graphattn.nn import GATConv

parser = argparse.ArgumentParser()
parser.add_argument("--root", default=None, help="folder of data sets")
parser.add_argument("--hidden_channels", type=int, default=8)
parser.add_argument("--heads", type=int, default=8)
parser.add_argument("--lr", type=float, default=0.005)
parser.add_argument("--epochs", type=int, default=200)
args = parser.parse_args()

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
data = load("cora", root=args.root, transform=NormalizeFeatures()).to(device)


class GAT(torch.nn.Module):
    def __init__(self, in_channels, hidden_channels, out_channels, heads):
        super().__init__()
        self.conv1 = GATConv(in_channels, hidden_channels, heads, dropout=0.6)
        self.conv2 = GATConv(heads * hidden_channels, out_channels, concat=False, dropout=0.6)

    def forward(self, x, edge_index):
        x = dropout(x, p=0.6, training=self.training)
        x = elu(self.conv1(x, edge_index))
        x = dropout(x, p=0.6, training=self.training)
        return self.conv2(x, edge_index)


model = GAT(data.num_features, args.hidden_channels, data.num_classes, args.heads).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-4)


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
    if epoch % 10 == 0 or epoch == args.epochs:
        print(
            f"Epoch {epoch:03d}, loss {loss:.4f}, train {train_acc:.4f}, val {val_acc:.4f}, "
            f"test at best val {test_acc:.4f}"
        )
