"""Everything that changes while a model is trained, as one thing that can be saved."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from graphattn.train.stopping import EarlyStopping
from graphattn.train.weights import check_weights

__all__ = ["TrainState", "random_state", "set_random_state"]


class TrainState:
    """The moving parts of a run.

    Args:
        model: The model, on its device.
        optimizer: Its optimiser.
        stopping: The stopping rule.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, stopping: EarlyStopping) -> None:
        self.model = model
        self.optimizer = optimizer
        self.stopping = stopping
        self.epoch = 0
        self.seconds = 0.0
        self.best: dict[str, Tensor] = {}
        self.history: list[tuple[float, ...]] = []

    def keep_weights(self) -> None:
        """Copy the present weights as the best ones."""
        self.best = {name: t.detach().clone() for name, t in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs, as tensors and plain values."""
        return {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "stopping": self.stopping.state_dict(),
            "history": torch.tensor(self.history, dtype=torch.float64),
            "random": random_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any], *, source: object) -> None:
        """Continue from what :meth:`state_dict` returned, the random numbers included.

        Args:
            state: The saved state.
            source: Where it comes from, for errors.

        Raises:
            ValueError: If it belongs to another model.
        """
        for weights in (state["model"], state["best"]):
            check_weights(self.model, weights, source=source)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.stopping.load_state_dict(state["stopping"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.history = [tuple(row) for row in state["history"].tolist()]
        own = self.model.state_dict()
        self.best = {name: t.to(own[name].device) for name, t in state["best"].items()}
        set_random_state(state["random"])


def random_state() -> dict[str, Any]:
    """State of the global generators of torch, CUDA, numpy and Python, without numpy objects."""
    legacy: Any = np.random.get_state()  # noqa: NPY002 - users' code may draw from it
    _, keys, *rest = legacy
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "numpy": (torch.from_numpy(keys.astype(np.int64)), *rest),
        "python": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the global generators where :func:`random_state` found them.

    Args:
        state: What :func:`random_state` returned; states of GPUs that are not here are left out.
    """
    torch.set_rng_state(state["torch"])
    for device, cuda in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(cuda, device)
    keys, *rest = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])
