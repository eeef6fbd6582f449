"""One optimisation step."""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch_geometric.data import Data

from graphattn.train.config import TrainConfig
from graphattn.train.evaluation import node_loss, predict

__all__ = ["make_optimizer", "train_step"]


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """Adam with coupled weight decay, in groups of parameters with the same.

    Args:
        model: The model, on its device and with all its parameters initialised.
        config: Learning rate and weight decays.

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
    return Adam(groups, lr=config.lr, fused=True)


def train_step(
    fabric: Fabric, model: nn.Module, optimizer: Optimizer, batch: Data, *, l2: float = 0.0
) -> tuple[Tensor, int]:
    """Take one step on the training nodes of a batch.

    Args:
        fabric: Runs the backward pass.
        model: The model, set up by ``fabric`` and in training mode.
        optimizer: Its optimiser, set up by ``fabric``.
        batch: The graph, or a sampled part of it.
        l2: Factor of the sum of squares of all parameters in the loss.

    Returns:
        Mean loss without the ``l2`` term, on the device, and the number of training nodes; a batch
        without any is skipped.
    """
    seeds = batch.train_mask[: batch.get("batch_size", None)]
    nodes = seeds.nonzero().view(-1)
    if nodes.numel() == 0:
        return torch.zeros((), device=nodes.device), 0
    optimizer.zero_grad()
    loss = node_loss(predict(model, batch)[nodes], batch.y[nodes])
    penalty = l2 * sum(p.square().sum() for p in model.parameters()) if l2 else 0.0
    fabric.backward(loss + penalty)
    optimizer.step()
    return loss.detach(), nodes.numel()
