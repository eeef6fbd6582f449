"""What tests of resuming run in a process of its own: ``killed_run.py FOLDER KIND DELAY``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from graphattn.sampling import NeighborLoader
from graphattn.train import Report, RunFolder, TrainConfig, fit

EPOCHS = {"whole": 150, "sampled": 12}


def main(folder: str | Path, kind: str, delay: float) -> Report:
    """Train on the whole graph or on samples of it, with a pause before every batch."""
    torch.set_num_threads(1)
    torch.manual_seed(5)  # loaders follow it, and the model
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    data = Data(
        x=torch.randn(90, 8, generator=generator) + torch.nn.functional.one_hot(y, 8),
        edge_index=torch.randint(90, (2, 300), generator=generator),
        y=y,
        train_mask=torch.arange(90) < 40,
        val_mask=(torch.arange(90) >= 40) & (torch.arange(90) < 60),
        test_mask=torch.arange(90) >= 60,
    )

    def slowly(batch: Any) -> Any:
        time.sleep(delay)
        return batch

    settings: dict[str, Any] = {"checkpoint_seconds": 0.05}
    loaders: dict[str, Any] = {
        "batches": DataLoader([data], collate_fn=lambda graphs: slowly(graphs[0]))
    }
    if kind == "sampled":
        settings = {
            "checkpoint_seconds": 0.0,
            "optimizer": "adamw",
            "schedule": "cosine",
            "warmup_epochs": 2,
            "eval_every": 2,
        }
        seeds = {"input_nodes": data.train_mask, "batch_size": 5, "shuffle": True}
        loaders = {
            "batches": NeighborLoader(data, [3, 3], transform=slowly, **seeds),
            "eval_batches": NeighborLoader(data, [5, 5], batch_size=40),
        }
    return fit(
        GCN(8, 16, num_layers=2, out_channels=3, dropout=0.5, norm="batch_norm"),
        data,
        TrainConfig(max_epochs=EPOCHS[kind], patience=150, **settings),
        seed=11,
        run=RunFolder(folder),
        resume=True,
        progress=False,
        **loaders,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
