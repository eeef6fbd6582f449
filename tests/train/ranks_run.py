"""What the test of ranks runs, in two processes of ``torchrun``: ``ranks_run.py FOLDER``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.nn import GraphSAGE

from graphattn.recipes import recipe
from graphattn.recipes import run as run_recipe
from graphattn.sampling import NeighborLoader
from graphattn.train import RankSampler, Report, RunFolder, TrainConfig, fit
from graphattn.train.device import make_fabric
from graphattn.train.ranks import rank_and_count


def graph() -> Data:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    x = torch.randn(90, 8, generator=generator) + torch.nn.functional.one_hot(y, 8)
    return Data(
        x=x,
        edge_index=torch.randint(90, (2, 300), generator=generator),
        y=torch.where(torch.arange(90) % 7 == 3, -1, y),  # batches with fewer labels than others
        train_mask=torch.arange(90) < 41,
        val_mask=(torch.arange(90) >= 41) & (torch.arange(90) < 60),
        test_mask=torch.arange(90) >= 60,
    )


def train(run: RunFolder, batch_size: int, *, l2: float, norm: str | None) -> Report:
    """Eight epochs, all neighbours, no dropout: nothing that ranks would draw differently."""
    data, (rank, ranks) = graph(), rank_and_count()
    torch.manual_seed(5)
    model = GraphSAGE(8, 16, num_layers=2, out_channels=3, norm=norm)
    order = RankSampler(41, batch_size, shuffle=True, seed=3)
    nodes = torch.arange(41)
    evaluated = NeighborLoader(
        data, [-1, -1], input_nodes=torch.arange(90)[rank::ranks], batch_size=20
    )
    config = TrainConfig(
        max_epochs=8, patience=9, lr=0.05, clip_norm=0.5, l2=l2, metric="macro_f1", monitor="loss"
    )
    return fit(
        model,
        data,
        config,
        batches=NeighborLoader(data, [-1, -1], nodes, sampler=order, batch_size=batch_size),
        eval_batches=evaluated,
        run=run,
        progress=False,
    )


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    fabric = make_fabric("cpu", "32-true")
    for name, l2, norm in (("plain", 0.0, None), ("l2", 0.01, None), ("norm", 0.0, "batch_norm")):
        report = train(RunFolder(folder / name), 7, l2=l2, norm=norm)
        if fabric.global_rank == 1:
            torch.save(report.numbers(), folder / f"{name}.pt")
    experiment = recipe("gat/digits_sampled")
    short = replace(experiment, train=replace(experiment.train, max_epochs=3))
    run_recipe(short, 0, runs=folder / "recipe", progress=True, offline=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
