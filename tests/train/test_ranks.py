from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from graphattn.sampling import NeighborLoader
from graphattn.train import RankSampler, RunFolder
from graphattn.train.ranks import rank_and_count

SCRIPT = Path(__file__).with_name("ranks_run.py")


@pytest.mark.parametrize("count", [3, 7, 41, 42, 43, 44])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_ranks_share_each_batch(count: int, ranks: int, shuffle: bool) -> None:
    samplers = [
        RankSampler(count, 4, shuffle=shuffle, seed=2, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    one = RankSampler(count, 4 * ranks, shuffle=shuffle, seed=2, rank=0, ranks=1)
    for epoch in (0, 1):
        for sampler in (*samplers, one):
            sampler.set_epoch(epoch)
        shares = [torch.tensor(list(sampler)).split(4) for sampler in samplers]
        assert [len(sampler) for sampler in samplers] == [sum(map(len, each)) for each in shares]
        assert len({len(share) for share in shares}) == 1  # as many batches each
        whole = list(torch.tensor(list(one)).split(4 * ranks))
        if len(whole[-1]) < ranks:
            whole.pop()
        joined = [torch.cat(parts).tolist() for parts in zip(*shares, strict=True)]
        assert joined == [batch.tolist() for batch in whole]


def test_alone_the_order_is_that_of_the_loader(graph: Data) -> None:
    nodes = torch.arange(50)
    orders = []
    for how in ({"shuffle": True}, {"sampler": RankSampler(50, 8, shuffle=True, seed=4)}):
        loader = NeighborLoader(graph, [2], input_nodes=nodes, batch_size=8, seed=4, **how)
        loader.set_epoch(3)
        orders.append([batch.n_id.tolist() for batch in loader])
    assert orders[0] == orders[1]
    assert rank_and_count() == (0, 1)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"batch_size": 0}, "'batch_size' must be at least 1, got 0"),
        ({"count": 1, "ranks": 2}, "'count' must be at least 2, got 1"),
        ({"rank": 2, "ranks": 2}, "'rank' must be below 'ranks', 2, got 2"),
        ({"seed": -1}, "'seed' must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_named(settings: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RankSampler(**{"count": 5, "batch_size": 2, **settings})


def test_two_processes_of_torchrun_are_one_with_the_doubled_batch(tmp_path: Path) -> None:
    if not torch.distributed.is_available():
        pytest.skip("torch has no distributed package here")
    names = ("plain", "l2", "norm")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}-one").mkdir()
    command = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

    train: Callable[..., Any] = runpy.run_path(str(SCRIPT))["train"]
    for name, l2 in (("plain", 0.0), ("l2", 0.01)):
        two, one = RunFolder(tmp_path / name), RunFolder(tmp_path / f"{name}-one")
        report = train(one, 14, l2=l2, norm=None).numbers()
        rows = [torch.tensor(curve(folder)) for folder in (one, two)]
        torch.testing.assert_close(rows[1], rows[0], rtol=1e-4, atol=1e-5)
        for figures in (two.read_report().numbers(), torch.load(tmp_path / f"{name}.pt")):
            assert figures["metrics"] == pytest.approx(report["metrics"], rel=1e-4)
            assert figures["test_loss"] == pytest.approx(report["test_loss"], rel=1e-3)
    # Normalisation over a batch sees half of it; both ranks have the same figures all the same.
    both = RunFolder(tmp_path / "norm").read_report().numbers(), torch.load(tmp_path / "norm.pt")
    assert both[0] == both[1]

    (folder,) = (tmp_path / "recipe" / "gat" / "digits_sampled").iterdir()
    assert RunFolder(folder).read_report().epochs == 3
    assert done.stderr.count("0/3") == 1  # one bar


def curve(run: RunFolder) -> list[list[float]]:
    _, *lines = run.metrics_path.read_text().splitlines()
    return [[float(value) for value in line.split(",")] for line in lines]
