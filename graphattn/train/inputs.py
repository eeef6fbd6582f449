"""What :func:`graphattn.train.fit` is given, looked at before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from graphattn.data import check_data
from graphattn.tasks import NodeTask, Task, make_task
from graphattn.tasks.calling import Batch
from graphattn.tasks.task import SPLITS
from graphattn.train.config import TrainConfig
from graphattn.train.evaluation import EvalBatches, first_batch

__all__ = ["NOT_NAMED", "check_batches", "check_model", "choose_task"]

NOT_NAMED = ("loss", "metric", "loss_and_metric")
"""What can be monitored beside the metrics by their names."""


def check_batches(
    data: Batch | Mapping[str, Iterable[Batch]],
    batches: Iterable[Batch] | None,
    eval_batches: EvalBatches | None,
) -> Batch:
    """See that there is something for every split.

    Returns:
        The graph; or the first batch, where ``data`` is a mapping.

    Raises:
        TypeError: If ``data`` is neither.
        ValueError: If batches of a split are missing, or given twice.
    """
    if isinstance(eval_batches, Mapping):
        _check_splits(eval_batches, "eval_batches")
    if not isinstance(data, Mapping):
        if not isinstance(data, Data | HeteroData):
            check_data(data)  # says what it must be
        return data
    _check_splits(data, "data")
    if batches is not None or eval_batches is not None:
        raise ValueError("'data' has the batches of each split, so no other batches can be given")
    return first_batch(data["train"])


def _check_splits(batches: Mapping[str, Any], name: str) -> None:
    missing = [split for split in SPLITS if split not in batches]
    if missing:
        raise ValueError(f"{name!r} must have batches for {', '.join(SPLITS)}; lacks {missing}")


def choose_task(
    sample: Batch, task: Task | str | None, config: TrainConfig, *, batched: bool
) -> Task:
    """The task that was given, named, or is to be guessed.

    Raises:
        ValueError: If the labels are not of the task, or it does not have the monitored metric.
    """
    if not isinstance(task, Task):
        labels: Any = task or config.task
        task = make_task(sample, labels, metric=config.metric, batched=batched)
    task.check(sample)
    if config.monitor not in NOT_NAMED:
        task.kind.check_metric(config.monitor)
    return task


def check_model(model: nn.Module, sample: Batch, task: Task) -> None:
    """See that there are masks, and that model and features go together.

    Raises:
        ValueError: If they do not.
    """
    if isinstance(task, NodeTask) and isinstance(sample, HeteroData):
        missing = [s for s in SPLITS if f"{s}_mask" not in sample[task.node_type]]
        if missing:
            raise ValueError(f"'data[{task.node_type!r}].{missing[0]}_mask' is missing")
    x = sample.get("x") if isinstance(sample, Data) else None
    if not isinstance(x, Tensor):
        return
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and x.is_floating_point() and parameter.dtype != x.dtype:
            raise ValueError(
                f"'data.x' is {x.dtype}, but the model's {name!r} is {parameter.dtype}; "
                "convert one of them"
            )
