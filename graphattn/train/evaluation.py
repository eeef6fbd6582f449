"""Loss and metrics of a model, on a whole graph or batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.data import tidy
from graphattn.tasks import Task, make_task
from graphattn.tasks.calling import Batch
from graphattn.tasks.scores import Scores
from graphattn.tasks.task import SPLITS, Split

__all__ = ["EvalBatches", "evaluate", "first_batch", "score"]

EvalBatches: TypeAlias = Iterable[Batch] | Mapping[str, Iterable[Batch]]
"""Batches of all splits, told apart by masks, or batches for each of "train", "val" and "test"."""


def score(
    task: Task,
    run: Callable[[Batch], Tensor],
    batches: EvalBatches,
    splits: Iterable[Split],
    names: Iterable[str],
    *,
    move: Callable[[Batch], Batch],
    kept: dict[Split, Scores] | None = None,
) -> dict[Split, dict[str, Tensor]]:
    """Loss and metrics of some splits, summed up over batches (and ranks).

    Args:
        task: What is learnt.
        run: Gives the output of the model for a batch.
        batches: All batches of these splits. What a loader draws depends on the epoch that it is
            told, if it has a ``set_epoch``: it is always 0 here, so that values can be compared.
        splits: Which splits.
        names: Names of metrics.
        move: Puts a batch on the device.
        kept: Metrics of the last time with the same task and names, kept here for the next time.

    Returns:
        For each split the values of :meth:`graphattn.tasks.scores.Scores.compute`.
    """
    splits, names = tuple(splits), tuple(names)
    passes: list[tuple[Iterable[Batch], tuple[Split, ...]]] = [(batches, splits)]
    if isinstance(batches, Mapping):
        passes = [(batches[split], (split,)) for split in splits]
    values: dict[Split, dict[str, Tensor]] = {}
    for source, theirs in passes:
        scores = {split: (kept or {}).get(split) or Scores(task, names) for split in theirs}
        for each in scores.values():
            each.reset()
        if kept is not None:
            kept.update(scores)
        begun = False
        for batch in _begin(source):
            batch = move(batch)
            examples = {split: task.examples(batch, split) for split in theirs}
            if begun and not any(rows.numel() for rows, _ in examples.values()):
                continue  # nothing of these splits is in the batch
            out, begun = run(batch), True
            for split, (rows, y) in examples.items():
                scores[split].update(task.logits(out, rows), y)
        if not begun:
            raise ValueError(
                "'eval_batches' gave no batch; it is gone through in every epoch, so it must be a "
                "list or loader, not an iterator"
            )
        values |= {split: scores[split].compute() for split in theirs}
    return values


def first_batch(batches: EvalBatches) -> Batch:
    """The first of some batches.

    Raises:
        ValueError: If there is none.
    """
    source = next(iter(batches.values())) if isinstance(batches, Mapping) else batches
    for batch in _begin(source):
        return batch
    raise ValueError(f"there is no batch in {type(source).__name__}, expected at least one")


def _begin(source: Iterable[Batch]) -> Iterable[Batch]:
    if callable(set_epoch := getattr(source, "set_epoch", None)):
        set_epoch(0)
    return source


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: Data | None = None,
    *,
    task: Task | None = None,
    batches: EvalBatches | None = None,
) -> dict[str, float]:
    """Loss and metrics on the training, validation and test examples.

    The model is run in evaluation mode and without gradients, on the device where its parameters
    are; afterwards it is in the mode it was in.

    Args:
        model: The model; see :func:`graphattn.tasks.call_model`.
        data: Graph with labels and the three masks, in any form that
            :func:`graphattn.data.tidy` takes. The model is run once on the whole of it unless
            there are ``batches``.
        task: What was learnt; guessed from the labels if ``None``.
        batches: Batches of all splits, or a mapping with batches for each; see
            :func:`graphattn.train.fit`.

    Returns:
        Values under ``train_loss``, ``train_metric`` (the metric that selects), ``train_accuracy``
        and so on for each metric of the task; the same for ``val`` and ``test``. NaN for a metric
        without a value, as an area under a curve where all labels are alike.

    Raises:
        ValueError: If there is neither ``data`` nor ``batches``, or it can't be guessed what the
            labels are.
    """
    if data is None and batches is None:
        raise ValueError("'data' or 'batches' must be given, got neither")
    data = None if data is None else tidy(data)
    if task is None:
        first = first_batch(batches) if data is None and batches is not None else data
        task = make_task(first, batched=data is None)
    parameter = next(model.parameters(), None)
    device = None if parameter is None else parameter.device

    def move(batch: Batch) -> Batch:
        return batch if device is None else copy(batch).to(device)  # `Data.to` works in place

    training = model.training
    model.eval()
    try:
        values = score(
            task,
            lambda batch: task.output(model, batch),
            [data] if batches is None else batches,
            SPLITS,
            task.metrics,
            move=move,
        )
    finally:
        model.train(training)
    return by_split(values, task)


def by_split(values: Mapping[Split, Mapping[str, Tensor]], task: Task) -> dict[str, float]:
    """Values of :func:`score` in one level, with the selecting metric as ``<split>_metric`` too."""
    flat: dict[str, float] = {}
    for split, scores in values.items():
        flat[f"{split}_loss"] = scores["loss"].item()
        flat[f"{split}_metric"] = scores[task.selects].item()
        flat |= {f"{split}_{name}": scores[name].item() for name in task.metrics}
    return flat
