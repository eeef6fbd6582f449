"""Everything that changes while a model is trained, as one thing that can be saved."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from graphattn._core.checks import check_count, check_number
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
            ValueError: If it belongs to another model, or something in it is missing, of the wrong
                type or shape, not finite, or impossible, such as an epoch beyond the last. Weights,
                optimiser and stopping rule are as before then.
        """
        try:
            self._check(state, source)
            own = self.model.state_dict()
            set_random_state(state["random"])
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.stopping.load_state_dict(state["stopping"])
            self.epoch, self.seconds = state["epoch"], state["seconds"]
            self.history = [tuple(row) for row in state["history"].tolist()]
            self.best = {name: t.to(own[name].device) for name, t in state["best"].items()}
        except KeyError as error:
            raise ValueError(f"{source} is damaged: {error!r}") from error
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:  # what torch, NumPy and Python say of states that are none of theirs
            if str(error).startswith(f"{source} "):
                raise
            raise ValueError(f"{source} is damaged: {' '.join(str(error).split())}") from error

    def _check(self, state: Mapping[str, Any], source: object) -> None:
        """See that a state can be continued from, before anything of it is taken over."""
        last = state.get("config", {}).get("max_epochs", 2**53)
        check_count("epoch", state["epoch"], least=0, most=last)
        check_number("seconds", state["seconds"])
        copy(self.stopping).load_state_dict(state["stopping"])
        best_epoch = state["stopping"]["best_epoch"]
        check_count("best_epoch", best_epoch, least=0, most=state["epoch"])
        history = state["history"]
        if history.numel() and history.dim() != 2:
            raise ValueError(f"'history' must have rows and columns, got {list(history.shape)}")
        if len(history) > state["epoch"]:
            raise ValueError(
                f"'history' must have at most {state['epoch']} rows, as there were epochs, got "
                f"{len(history)}"
            )
        check_weights(self.model, state["model"], source=source)
        if state["best"] or best_epoch > 0:
            check_weights(self.model, state["best"], source=source)
        _check_optimizer(self.optimizer, state["optimizer"])


def _check_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """See that an optimiser's state has the shapes of its parameters, and finite numbers."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    given = [len(group["params"]) for group in state["param_groups"]]
    if given != sizes:
        raise ValueError(f"'optimizer' must have groups of {sizes} parameters, got {given}")
    for group in state["param_groups"]:
        for key, value in group.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"'optimizer' must have finite settings, got {key} {value!r}")
    for index, values in state["state"].items():
        if index not in range(len(parameters)):
            raise ValueError(f"'optimizer' must be of {len(parameters)} parameters, got {index!r}")
        shape = parameters[index].shape
        for key, value in values.items():
            if not isinstance(value, Tensor):
                continue
            if value.dim() > 0 and value.shape != shape:
                raise ValueError(
                    f"'optimizer' must have {key} of shape {list(shape)}, got {list(value.shape)}"
                )
            if not torch.isfinite(value).all():
                raise ValueError(f"'optimizer' must have finite numbers, but {key} has not")


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
