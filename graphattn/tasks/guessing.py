"""Which task labels stand for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphattn.tasks.calling import Batch
from graphattn.tasks.names import LabelName, MetricName
from graphattn.tasks.task import GraphTask, LinkTask, NodeTask, Task

__all__ = ["make_task"]


def make_task(
    batch: Batch,
    labels: LabelName | None = None,
    *,
    metric: MetricName | None = None,
    batched: bool = False,
) -> Task:
    """The task that the labels of a graph or batch stand for.

    Integers ``[N]`` or ``[N, 1]`` are classes, booleans ``[N]`` yes or no, and 1, 0, -1 or NaN of
    any dtype in shape ``[N, T]`` the answers to ``T`` questions. A batch with ``edge_label`` and
    without ``y`` is one of links. All else must be named.

    Args:
        batch: The graph, or a batch of several.
        labels: Kind of the labels, where it is not to be guessed.
        metric: Metric that selects; the usual one of the labels if ``None``.
        batched: Whether graphs may be the examples, as in a batch from a loader of graphs; they are
            if there is a row of labels for each.

    Returns:
        A task of nodes, graphs or links.

    Raises:
        ValueError: If labels are missing, or fit no kind or several; the text says what to do.

    Example:
        >>> from torch_geometric.data import Data
        >>> make_task(Data(x=torch.ones(3, 1), y=torch.tensor([0, 2, 1]))).name
        'node multiclass'
    """
    if (links := _links(batch)) is not None:
        return LinkTask(labels=labels or "binary", metric=metric, edge_type=links[0])
    if isinstance(batch, HeteroData):
        types = [kind for kind in batch.node_types if isinstance(batch[kind].get("y"), Tensor)]
        if len(types) != 1:
            raise ValueError(
                f"'y' must stand at one node type of 'data' to say what is learnt, got "
                f"{types or 'none'}; pass task=NodeTask(labels=..., node_type=...)"
            )
        y = batch[types[0]].y
        return NodeTask(labels=labels or _guess(y), metric=metric, node_type=types[0])
    y = batch.get("y")
    if not isinstance(y, Tensor):
        raise ValueError("'y' is missing from 'data', expected a tensor")
    labels = labels or _guess(y)
    if batched and _of_graphs(batch, y):
        return GraphTask(labels=labels, metric=metric)
    return NodeTask(labels=labels, metric=metric)


def _links(batch: Batch) -> tuple[tuple[str, str, str] | None] | None:
    """The type of the pairs that have labels, where a batch has some."""
    stores = batch.edge_stores if isinstance(batch, HeteroData) else batch.stores
    found = [store for store in stores if isinstance(store.get("edge_label"), Tensor)]
    if not found:
        return None
    if len(found) > 1 or any(isinstance(store.get("y"), Tensor) for store in batch.stores):
        raise ValueError(
            "the batch has 'edge_label' of pairs beside other labels; pass task=LinkTask() or "
            "NodeTask(labels=...) to say what is learnt"
        )
    return (found[0]._key if isinstance(batch, HeteroData) else None,)


def _guess(y: Tensor) -> LabelName:
    """The kind of labels that these can only be."""
    column = y.dim() == 1 or (y.dim() == 2 and y.size(1) == 1)
    if column and y.dtype == torch.bool:
        return "binary"
    if column and not y.is_floating_point():
        return "multiclass"
    if y.dim() == 2 and (y.is_floating_point() or bool(((y >= -1) & (y <= 1)).all())):
        return "multilabel"
    raise ValueError(
        "'y' must be classes [N] of an integer dtype or yes/no answers [N, T] to be understood "
        f"without 'task', got shape {list(y.shape)} and {y.dtype}; pass task='binary', "
        "'multiclass' or 'multilabel'"
    )


def _of_graphs(batch: Batch, y: Tensor) -> bool:
    """Whether labels are those of graphs, of which a batch without `ptr` has one."""
    graphs = len(batch.ptr) - 1 if batch.get("ptr") is not None else 1
    nodes = batch.num_nodes
    if graphs == nodes == y.size(0):
        raise ValueError(
            f"'y' may belong to the {nodes} nodes or to the {graphs} graphs of a batch; pass "
            "task=NodeTask(labels=...) or GraphTask(labels=...)"
        )
    return bool(y.size(0) == graphs)
