"""What the resume tests run, in processes of their own: ``killed_run.py FOLDER DELAY``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from graphattn.train import Report, RunFolder, TrainConfig, fit

EPOCHS = 150


class SlowBatches:
    """The whole graph as the only batch, handed out after a while."""

    def __init__(self, data: Data, delay: float) -> None:
        self.data, self.delay = data, delay

    def __iter__(self) -> Iterator[Data]:
        time.sleep(self.delay)
        yield self.data


def main(folder: str | Path, delay: float) -> Report:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    data = Data(
        x=torch.randn(90, 8, generator=generator) + torch.nn.functional.one_hot(y, 8),
        edge_index=torch.randint(90, (2, 300), generator=generator),
        y=y,
        train_mask=torch.arange(90) < 30,
        val_mask=(torch.arange(90) >= 30) & (torch.arange(90) < 60),
        test_mask=torch.arange(90) >= 60,
    )
    torch.manual_seed(5)
    model = GCN(8, 16, num_layers=2, out_channels=3, dropout=0.5, norm="batch_norm")
    return fit(
        model,
        data,
        TrainConfig(max_epochs=EPOCHS, patience=EPOCHS, checkpoint_seconds=0.05),
        seed=11,
        batches=SlowBatches(data, delay),
        run=RunFolder(folder),
        resume=True,
        progress=False,
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
