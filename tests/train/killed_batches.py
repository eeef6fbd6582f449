"""What the mid-epoch test runs, in processes of its own: ``killed_batches.py FOLDER DELAY``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from graphattn.sampling import NeighborLoader
from graphattn.train import RunFolder, TrainConfig, fit


def main(folder: str | Path, delay: float) -> None:
    torch.set_num_threads(1)
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

    def slowly(batch: Data) -> Data:
        time.sleep(delay)
        return batch

    torch.manual_seed(5)
    model = GCN(8, 16, num_layers=2, out_channels=3, dropout=0.5, norm="batch_norm")
    fit(
        model,
        data,
        TrainConfig(
            max_epochs=12,
            patience=50,
            checkpoint_seconds=0.0,
            optimizer="adamw",
            schedule="cosine",
            warmup_epochs=2,
            eval_every=2,
        ),
        seed=11,
        batches=NeighborLoader(
            data, [3, 3], input_nodes=data.train_mask, batch_size=5, shuffle=True, transform=slowly
        ),
        eval_batches=NeighborLoader(data, [5, 5], batch_size=40),
        run=RunFolder(folder),
        resume=True,
        progress=False,
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
