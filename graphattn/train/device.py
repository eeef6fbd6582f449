"""Where and with which algorithms to compute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric

from graphattn.train.config import Accelerator, Precision

__all__ = ["deterministic", "make_fabric"]


def make_fabric(accelerator: Accelerator, precision: Precision) -> Fabric:
    """Pick the device.

    Args:
        accelerator: "auto" takes a GPU when there is one.
        precision: Arithmetic of the forward pass.

    Returns:
        A Fabric on one device.

    Raises:
        ValueError: If there is no such device.
    """
    try:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    except RuntimeError as error:
        raise ValueError(f"'accelerator' {accelerator!r} can't be used here: {error}") from error


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
