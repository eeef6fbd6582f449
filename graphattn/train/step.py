"""One optimisation step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from graphattn.tasks import Task
from graphattn.tasks.calling import Batch
from graphattn.train.config import TrainConfig
from graphattn.train.device import sum_over_ranks

__all__ = ["learning_rate_factor", "make_optimizer", "train_step"]

_OPTIMIZERS: Mapping[str, Any] = MappingProxyType({"adam": Adam, "adamw": AdamW, "sgd": SGD})


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimiser of the settings, in groups of parameters with the same weight decay.

    Args:
        model: The model, on its device and with all its parameters initialised.
        config: Which optimiser, learning rate and weight decays.

    Returns:
        The optimiser; fused, which takes a third of the time for a model of a few small tensors.

    Raises:
        ValueError: If the model has nothing to train, or a pattern of ``weight_decays`` decides
            for no parameter.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ValueError(f"'model' must have trainable parameters, got {type(model).__name__}")
    groups = []
    for pattern, decay in config.weight_decays:
        names = [name for name in named if fnmatchcase(name, pattern)]
        if not names:
            raise ValueError(
                f"'weight_decays' has the pattern {pattern!r}, which fits no parameter that is "
                f"left; these are {', '.join(named) or 'none'}"
            )
        groups.append({"params": [named.pop(name) for name in names], "weight_decay": decay})
    if named:
        groups.insert(0, {"params": list(named.values()), "weight_decay": config.weight_decay})
    kind = _OPTIMIZERS[config.optimizer]
    if config.optimizer == "sgd":
        kind = partial(kind, momentum=config.momentum)
    optimizer: Optimizer = kind(groups, lr=config.lr, fused=True)
    return optimizer


def learning_rate_factor(config: TrainConfig, epochs: float, step: float) -> float:
    """What the learning rate is multiplied by: a function of progress, so nothing to be saved.

    Args:
        config: Schedule, warm-up and number of epochs.
        epochs: Epochs before this step, as a fraction inside one.
        step: Length of this step in epochs.

    Returns:
        A number in ``(0, 1]``.

    Example:
        >>> config = TrainConfig(schedule="cosine", warmup_epochs=2, max_epochs=6)
        >>> [round(learning_rate_factor(config, epoch, 1), 3) for epoch in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    warmup = config.warmup_epochs
    if epochs < warmup:
        return min((epochs + step) / warmup, 1.0)
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (epochs - warmup) / (config.max_epochs - warmup)))


def train_step(
    fabric: Fabric,
    model: nn.Module,
    optimizer: Optimizer,
    batch: Batch,
    task: Task,
    config: TrainConfig,
) -> tuple[Tensor, int]:
    """Take one step on the training examples of a batch.

    Under ``torchrun`` the step is that of one process with the batches of all ranks, whatever the
    number of examples in each.

    Args:
        fabric: Runs the backward pass.
        model: The model, set up by ``fabric`` and in training mode.
        optimizer: Its optimiser, set up by ``fabric``.
        batch: The graph, a sampled part of it, or several graphs.
        task: What is learnt.
        config: Label smoothing, clipping, and the factor of the sum of squares in the loss.

    Returns:
        Mean loss without the ``l2`` term, on the device, and the number of labels it is the mean
        of, over all ranks; batches without any are skipped.
    """
    rows, y = task.examples(batch, "train")
    count = task.kind.count(y)
    ranks = fabric.world_size
    total = count
    if ranks > 1:
        total = int(sum_over_ranks(fabric, torch.tensor(count, device=rows.device)))
    if total == 0:
        return torch.zeros((), device=rows.device), 0
    optimizer.zero_grad()
    out = task.output(model, batch)
    if count:
        loss = task.kind.loss(task.logits(out, rows), y, smoothing=config.label_smoothing)
    else:  # the other ranks wait for gradients of this one
        loss = 0.0 * out.sum()
    penalty = config.l2 * sum(p.square().sum() for p in model.parameters()) if config.l2 else 0.0
    if ranks > 1:
        # Gradients are averaged over ranks: each counts by its share of the examples.
        loss = loss * (count * ranks / total)
    fabric.backward(loss + penalty)
    if config.clip_norm:
        fabric.clip_gradients(model, optimizer, max_norm=config.clip_norm)
    optimizer.step()
    loss = loss.detach()
    return (loss if ranks == 1 else sum_over_ranks(fabric, loss) / ranks), total
