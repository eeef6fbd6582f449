"""What the probabilities of a PyG model on Cora are worth, before and after calibration.

Usage: python examples/calibrate_cora.py [--epochs 200]
"""

import argparse

import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GCN
from torch_geometric.transforms import NormalizeFeatures

from graphattn.calibration import (
    DAPS,
    THR,
    ConformalPredictor,
    GATSScaler,
    TemperatureScaler,
    measure,
    measure_sets,
    reliability_bins,
)
from graphattn.data import load
from graphattn.viz import reliability_diagram

parser = argparse.ArgumentParser()
parser.add_argument("--root", default=None, help="folder of data sets")
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=200)
args = parser.parse_args()

torch.manual_seed(0)
data = load("cora", root=args.root, transform=NormalizeFeatures())
model = GCN(data.num_features, 64, num_layers=2, out_channels=data.num_classes, dropout=0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-4)
for _ in range(args.epochs):
    optimizer.zero_grad()
    out = model(data.x, data.edge_index)
    cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()
    optimizer.step()

model.eval()
with torch.no_grad():
    logits = {"uncalibrated": model(data.x, data.edge_index)}
own, masks = logits["uncalibrated"], {"train_mask": data.train_mask, "val_mask": data.val_mask}
for name, scaler in {
    "temperature": TemperatureScaler(),
    "GATS": GATSScaler(data.num_classes),
}.items():
    scaler.fit(own, data.y, data.edge_index, **masks)
    logits[name] = scaler(own, data.edge_index, data.train_mask).detach()

table = {name: measure(each, data.y, data.test_mask) for name, each in logits.items()}
print(pd.DataFrame(table).T[["accuracy", "confidence", "nll", "brier", "ece"]].round(4))
bins = {
    name: reliability_bins(each.softmax(dim=1), data.y, mask=data.test_mask)
    for name, each in logits.items()
}
reliability_diagram(bins, title="GCN on Cora").savefig("reliability.png", dpi=150)

# Sets need nodes that neither the model nor a calibrator has seen: half of the test nodes.
half = data.test_mask & (torch.rand(data.num_nodes) < 0.5)
rest = data.test_mask & ~half
for score in (THR(), DAPS(THR())):
    predictor = ConformalPredictor(score, alpha=0.1)
    predictor.fit(own, data.y, data.edge_index, cal_mask=half)
    sets = predictor(own, data.edge_index)
    found = measure_sets(sets[rest], data.y[rest], alpha=0.1)
    print(f"{score}: coverage {found.coverage:.3f}, mean size {found.size:.2f}")
