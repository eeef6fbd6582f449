"""Where and with which algorithms to compute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from graphattn.train.config import Accelerator, Precision
from graphattn.train.ranks import rank_and_count

__all__ = ["deterministic", "make_fabric", "share_buffers", "sum_over_ranks"]


def make_fabric(
    accelerator: Accelerator, precision: Precision, *, find_unused: bool = False
) -> Fabric:
    """Pick the device; in a process of ``torchrun``, join the others.

    Args:
        accelerator: "auto" takes a GPU when there is one.
        precision: Arithmetic of the forward pass.
        find_unused: Whether parameters may take no part in a loss, under ``torchrun``.

    Returns:
        A Fabric on one device per process.

    Raises:
        ValueError: If there is no such device.
    """
    try:
        _, ranks = rank_and_count()
        if ranks == 1:
            return Fabric(accelerator=accelerator, devices=1, precision=precision)
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        fabric = Fabric(
            accelerator=accelerator,
            devices=local,
            num_nodes=ranks // local,
            strategy=DDPStrategy(find_unused_parameters=find_unused),
            precision=precision,
        )
    except RuntimeError as error:
        raise ValueError(f"'accelerator' {accelerator!r} can't be used here: {error}") from error
    fabric.launch()
    return fabric


def sum_over_ranks(fabric: Fabric, value: Tensor) -> Tensor:
    """The sum of a tensor's values in all processes, in each of them.

    Args:
        fabric: What :func:`make_fabric` gave.
        value: The value of this process; comes back as it is if there is no other.
    """
    if fabric.world_size == 1:
        return value
    return cast(Tensor, fabric.all_reduce(value, reduce_op="sum"))


def share_buffers(fabric: Fabric, model: nn.Module) -> None:
    """Give all ranks the buffers of the first, such as the running means of a normalisation."""
    if fabric.world_size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Switch torch's deterministic algorithms on for a while.

    Args:
        enabled: Whether to do anything at all.
    """
    if not enabled:
        yield
        return
    before = torch.get_deterministic_debug_mode()
    # cuBLAS is deterministic only with a fixed workspace; torch raises if this is not set.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
