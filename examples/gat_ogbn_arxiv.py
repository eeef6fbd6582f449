"""GAT on ogbn-arxiv in sampled batches: 3 layers with batch normalisation and residuals.

The accuracy of this script has not been measured here. Hu et al. 2020 (OGB) describe the split.

Usage: python examples/gat_ogbn_arxiv.py [--epochs 50]
       torchrun --nproc-per-node 2 examples/gat_ogbn_arxiv.py
"""

import argparse

import torch
from torch_geometric.transforms import ToUndirected

from graphattn.data import load
from graphattn.models import GAT
from graphattn.recipes import SamplingConfig, make_batches
from graphattn.train import TrainConfig, fit

parser = argparse.ArgumentParser()
parser.add_argument("--root", default=None, help="folder of data sets")
parser.add_argument("--hidden_channels", type=int, default=256)
parser.add_argument("--num_layers", type=int, default=3)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--dropout", type=float, default=0.5)
parser.add_argument("--lr", type=float, default=0.002)
parser.add_argument("--epochs", type=int, default=50)
parser.add_argument("--batch_size", type=int, default=1024)
parser.add_argument("--num_neighbors", type=int, nargs="+", default=[15, 10, 5])
args = parser.parse_args()

torch.manual_seed(0)
data = load("ogbn-arxiv", root=args.root, transform=ToUndirected())
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
)
report = fit(
    model,
    data,
    TrainConfig(
        lr=args.lr,
        schedule="cosine",
        warmup_epochs=1,
        max_epochs=args.epochs,
        patience=args.epochs,
        monitor="accuracy",
    ),
    **make_batches(
        SamplingConfig(num_neighbors=tuple(args.num_neighbors), batch_size=args.batch_size),
        data,
        seed=0,
    ),
)
print(
    f"Epoch {report.best_epoch:03d}, loss {report.train_loss:.4f}, "
    f"train {report.train_metric:.4f}, val {report.val_metric:.4f}, test {report.test_metric:.4f}"
)
