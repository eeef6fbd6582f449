"""Loss and metric of a node task, chosen by the labels alone."""

from __future__ import annotations

from copy import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torchmetrics.functional.classification import multiclass_accuracy, multilabel_auroc

__all__ = ["evaluate", "metric_name", "node_loss", "node_metric", "predict", "split_scores"]

Split = Literal["train", "val", "test"]


def predict(model: nn.Module, data: Data) -> Tensor:
    """Call a model on a graph.

    Args:
        model: Called as ``model(x, edge_index)``, with ``edge_attr`` where the graph has one.
        data: The graph.

    Returns:
        The model's output. Shape ``[N, classes]`` or ``[N, tasks]``.
    """
    if data.edge_attr is None:
        out: Tensor = model(data.x, data.edge_index)
    else:
        out = model(data.x, data.edge_index, edge_attr=data.edge_attr)
    return out


def metric_name(y: Tensor) -> str:
    """The metric that fits the labels.

    Args:
        y: Classes ``[N]`` as integers, or one yes/no per task ``[N, T]`` as floats.

    Returns:
        "accuracy" for classes, "roc_auc" for tasks.

    Raises:
        ValueError: If the labels have neither form.
    """
    if y.dim() == 1 and y.dtype == torch.long:
        return "accuracy"
    if y.dim() == 2 and y.is_floating_point():
        return "roc_auc"
    raise ValueError(
        "'data.y' must be classes [N] of dtype torch.int64 or tasks [N, T] of a floating dtype, "
        f"got shape {list(y.shape)} and {y.dtype}"
    )


def node_loss(out: Tensor, y: Tensor) -> Tensor:
    """Mean loss over nodes: cross-entropy for classes, binary cross-entropy for tasks.

    Args:
        out: Logits. Shape ``[N, classes]`` or ``[N, T]``.
        y: Labels, see :func:`metric_name`.

    Returns:
        A scalar.
    """
    if y.is_floating_point():
        return functional.binary_cross_entropy_with_logits(out, y.to(out.dtype))
    return functional.cross_entropy(out, y)


def node_metric(out: Tensor, y: Tensor) -> Tensor:
    """Accuracy for classes; for tasks the area under the ROC curve, averaged over tasks.

    Tasks whose labels are all equal have no such area and are left out, as ogb does; without any
    task left the result is NaN.

    Args:
        out: Logits. Shape ``[N, classes]`` or ``[N, T]``.
        y: Labels, see :func:`metric_name`.

    Returns:
        A scalar between 0 and 1.
    """
    if not y.is_floating_point():
        accuracy: Tensor = multiclass_accuracy(
            out, y, num_classes=out.size(-1), average="micro", validate_args=False
        )
        return accuracy
    mixed = y.amin(dim=0) != y.amax(dim=0)
    tasks = int(mixed.sum())
    if tasks == 0:
        return out.new_full((), torch.nan)
    area: Tensor = multilabel_auroc(
        out[:, mixed], y[:, mixed].long(), num_labels=tasks, validate_args=False
    )
    return area


def split_scores(out: Tensor, data: Data, split: Split) -> tuple[Tensor, Tensor]:
    """Loss and metric on the nodes of one split.

    Args:
        out: Logits of all nodes. Shape ``[N, classes]`` or ``[N, T]``.
        data: Graph with ``y`` and the mask of the split.
        split: Which mask.

    Returns:
        Two scalars, left on the device.
    """
    mask = data[f"{split}_mask"]
    out, y = out[mask], data.y[mask]
    return node_loss(out, y), node_metric(out, y)


@torch.no_grad()
def evaluate(model: nn.Module, data: Data) -> dict[str, float]:
    """Loss and metric on the training, validation and test nodes of a graph.

    The model is run once on the whole graph, in evaluation mode and without gradients, on the
    device where its parameters are; afterwards it is in the mode it was in.

    Args:
        model: The model, see :func:`predict`.
        data: Graph with ``x``, ``edge_index``, ``y`` and the three masks.

    Returns:
        Values under ``train_loss``, ``train_metric``, ``val_loss``, ``val_metric``, ``test_loss``
        and ``test_metric``.

    Raises:
        ValueError: If the labels are neither classes nor tasks.
    """
    metric_name(data.y)
    first = next(model.parameters(), None)
    if first is not None:
        data = copy(data).to(first.device)  # `Data.to` works in place
    training = model.training
    model.eval()
    try:
        out = predict(model, data).float()
    finally:
        model.train(training)
    scores: dict[str, float] = {}
    for split in ("train", "val", "test"):
        loss, metric = split_scores(out, data, split)
        scores[f"{split}_loss"], scores[f"{split}_metric"] = loss.item(), metric.item()
    return scores
