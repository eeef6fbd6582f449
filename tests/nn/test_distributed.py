"""Layers under `DistributedDataParallel`: two processes give the gradients of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import barrier, destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

import graphattn.nn

LAYERS = ("GATConv", "GATv2Conv", "TransformerConv")
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4], [1, 2, 2, 0, 0, 1]])


def layer(name: str) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = getattr(graphattn.nn, name)(8, 4, heads=2)
    return made


def features(rank: int) -> Tensor:
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(rank))


def worker(rank: int, folder: str) -> None:
    init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    grads = {}
    for name in LAYERS:
        conv = DistributedDataParallel(layer(name))
        conv(features(rank), EDGES).square().sum().backward()
        grads[name] = [p.grad for p in conv.module.parameters()]
    torch.save(grads, Path(folder, f"{rank}.pt"))
    # Neither process shall leave while the other one needs it, nor a reducer outlive its group.
    del conv
    barrier()
    destroy_process_group()


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    if not torch.distributed.is_available():
        pytest.skip("torch has no distributed package here")
    # This file is the program of both processes; -P, so that they import what is installed.
    command = [sys.executable, "-P", __file__]
    processes = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name in LAYERS:
        conv = layer(name)
        loss = sum(conv(features(rank), EDGES).square().sum() for rank in (0, 1)) / 2
        loss.backward()
        for parameter, one, two in zip(conv.parameters(), first[name], second[name], strict=True):
            torch.testing.assert_close(one, parameter.grad)
            assert torch.equal(one, two)


if __name__ == "__main__":
    worker(int(sys.argv[1]), sys.argv[2])
