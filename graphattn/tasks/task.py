"""Tasks: where the examples of a batch are, with their labels and the outputs of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import BaseStorage
from typing_extensions import override

from graphattn._core.errors import unknown_name
from graphattn.tasks.calling import Batch, call_model, rows_of, takes
from graphattn.tasks.labels import LABELS, Labels
from graphattn.tasks.names import LabelName, MetricName

__all__ = ["SPLITS", "GraphTask", "LinkTask", "NodeTask", "Split", "Task"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """What a model is trained for.

    Raises:
        ValueError: If there is no such kind of labels, or it has no such metric.
    """

    labels: LabelName
    """Kind of labels: "multiclass", "binary" or "multilabel"."""
    metric: MetricName | None = None
    """Metric that selects; the usual one of the labels if None."""
    call: Callable[[nn.Module, Any], Any] | None = None
    """Called with model and batch instead of :func:`call_model`, for models that need more."""

    def __post_init__(self) -> None:
        if self.labels not in LABELS:
            raise unknown_name("kind of labels", str(self.labels), LABELS)
        if self.metric is not None:
            self.kind.check_metric(self.metric)

    @property
    def kind(self) -> Labels:
        """The kind of labels."""
        return LABELS[self.labels]

    @property
    def selects(self) -> str:
        """Name of the metric that selects."""
        return self.metric or self.kind.metrics[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that a report has, the selecting one first."""
        others = (m for m in self.kind.metrics if m not in (self.selects, *self.kind.left_out))
        return self.selects, *others

    @property
    @abstractmethod
    def name(self) -> str:
        """Name for the report."""

    @abstractmethod
    def labels_of(self, batch: Batch) -> Tensor:
        """The labels of all examples of a batch, known or not, as the user has them."""

    def examples(self, batch: Batch, split: Split) -> tuple[Tensor, Tensor]:
        """The examples of a batch that count.

        Args:
            batch: The batch.
            split: For what.

        Returns:
            Rows of the output, ``[M]``, and their labels, ``[M]`` or ``[M, T]``; only examples with
            a known label.
        """
        y = self.kind.form(self.labels_of(batch))
        known = self.kind.known(y)
        known = known if known.dim() == 1 else known.any(dim=1)
        if (mask := self._mask(batch, split)) is not None:
            known = mask[: y.size(0)] & known
        rows = known.nonzero().view(-1)
        return rows, y[rows]

    @abstractmethod
    def check(self, batch: Batch) -> None:
        """See that labels (and masks, where there are any) are those of the task.

        Raises:
            ValueError: If they are not.
        """

    @abstractmethod
    def _rows_wanted(self, batch: Batch) -> tuple[int, ...]:
        """Numbers of rows that an output may have."""

    def _mask(self, batch: Batch, split: Split) -> Tensor | None:
        """Which examples are of a split, where a batch has those of several."""
        return None

    def output(self, model: nn.Module, batch: Batch) -> Tensor:
        """Call the model.

        Args:
            model: The model.
            batch: The batch.

        Returns:
            Its output, one row per node, graph or pair.

        Raises:
            TypeError: If that is no tensor.
            ValueError: If the model needs what the batch does not have.
        """
        out = call_model(model, batch) if self.call is None else self.call(model, batch)
        return rows_of(out, getattr(self, "node_type", None))

    def logits(self, out: Tensor, rows: Tensor) -> Tensor:
        """The outputs of some examples in the form that loss and metrics take.

        Args:
            out: What :meth:`output` gave.
            rows: The examples. Shape ``[M]``.
        """
        return cast(Tensor, self.kind.fit_output(out[rows], 1 if out.dim() < 2 else out.size(1)))

    def check_output(self, out: Tensor, batch: Batch, y: Tensor) -> None:
        """See that the model's output fits.

        Args:
            out: Its output for ``batch``.
            batch: A batch.
            y: Labels of all examples that there are.

        Raises:
            ValueError: If it does not; the text says which shape is right.
        """
        rows, width = self._rows_wanted(batch), self.kind.width(self.kind.form(y))
        fits = out.dim() > 0 and out.size(0) in rows
        if not fits or self.kind.fit_output(out, width) is None:
            least = " or wider" if self.labels == "multiclass" else ""
            raise ValueError(
                f"'model' must give [{rows[0]}, {width}]{least} for {self.labels!r} labels, "
                f"got {list(out.shape)}"
            )


@dataclass(frozen=True, kw_only=True)
class NodeTask(Task):
    """Labels of nodes, of a graph with the masks ``train_mask``, ``val_mask`` and ``test_mask``.

    Of a batch only the first ``batch_size`` nodes count if it has that entry. All nodes do where
    there is no mask, as in batches that are of one split.

    Example:
        >>> task = NodeTask(labels="multilabel", metric="macro_f1")
        >>> task.name, task.metrics[:3]
        ('node multilabel', ('macro_f1', 'roc_auc', 'average_precision'))
    """

    node_type: str | None = None
    """Type of the nodes, in a :class:`~torch_geometric.data.HeteroData`."""

    @property
    @override
    def name(self) -> str:
        return f"node {self.labels}" + ("" if self.node_type is None else f" of {self.node_type}")

    @override
    def labels_of(self, batch: Batch) -> Tensor:
        store = self._store(batch)
        y: Tensor = store["y"]
        return y[: store.get("batch_size")]

    @override
    def check(self, batch: Batch) -> None:
        store = self._store(batch)
        if not isinstance(store.get("y"), Tensor):
            raise ValueError(f"'y' is missing from {self._where(batch)}, expected a tensor")
        y = self.labels_of(batch)
        used = y.new_zeros(y.size(0)).bool()
        masks = [store[f"{split}_mask"] for split in SPLITS if f"{split}_mask" in store]
        for split in SPLITS:
            mask = store.get(f"{split}_mask")
            if mask is not None and list(mask.shape) != [store.num_nodes]:
                raise ValueError(
                    f"'{self._where(batch)}.{split}_mask' must be of one split [N], got shape "
                    f"{list(mask.shape)}; see graphattn.data.select_split"
                )
        for mask in masks:
            used |= mask[: y.size(0)]
        self.kind.check(y[used] if masks else y)

    def _rows_wanted(self, batch: Batch) -> tuple[int, ...]:
        store = self._store(batch)
        return store.num_nodes, store.get("batch_size") or store.num_nodes

    @override
    def _mask(self, batch: Batch, split: Split) -> Tensor | None:
        return cast(Tensor | None, self._store(batch).get(f"{split}_mask"))

    def _store(self, batch: Batch) -> BaseStorage:
        if not isinstance(batch, HeteroData):
            return batch._store
        if self.node_type not in batch.node_types:
            raise ValueError(
                "'node_type' of the task must be one of "
                f"{', '.join(map(repr, batch.node_types))}, got {self.node_type!r}"
            )
        return batch[self.node_type]

    def _where(self, batch: Batch) -> str:
        return f"data[{self.node_type!r}]" if isinstance(batch, HeteroData) else "data"


@dataclass(frozen=True, kw_only=True)
class GraphTask(Task):
    """Labels of whole graphs, or sets: one row of ``y`` per graph, in batches of one split.

    Example:
        >>> GraphTask(labels="binary").metrics[0]
        'roc_auc'
    """

    @property
    @override
    def name(self) -> str:
        return f"graph {self.labels}"

    @override
    def labels_of(self, batch: Batch) -> Tensor:
        y: Tensor = batch.y
        return y

    @override
    def check(self, batch: Batch) -> None:
        if not isinstance(batch.get("y"), Tensor):
            raise ValueError("'y' is missing from the batch, expected a tensor")
        self.kind.check(self.labels_of(batch))

    def _rows_wanted(self, batch: Batch) -> tuple[int, ...]:
        return (self.labels_of(batch).size(0),)


@dataclass(frozen=True, kw_only=True)
class LinkTask(Task):
    """Labels ``edge_label`` of the pairs of nodes in ``edge_label_index``, in batches of one split.

    So PyG's ``RandomLinkSplit`` and the ``LinkNeighborLoader`` of PyG and of this library give
    them. A model whose ``forward`` takes ``edge_label_index``, and a ``call``, answer with one row
    per pair. Of others the output is taken for states of nodes, and a pair is scored by their dot
    product.

    Example:
        >>> LinkTask(metric="average_precision").name
        'link binary'
    """

    labels: LabelName = "binary"
    edge_type: tuple[str, str, str] | None = None
    """Type of the pairs, in a :class:`~torch_geometric.data.HeteroData`."""

    @property
    @override
    def name(self) -> str:
        kind = "" if self.edge_type is None else f" of {'-'.join(self.edge_type)}"
        return f"link {self.labels}{kind}"

    @override
    def labels_of(self, batch: Batch) -> Tensor:
        y: Tensor = self._store(batch)["edge_label"]
        return y

    @override
    def check(self, batch: Batch) -> None:
        store = self._store(batch)
        for name in ("edge_label", "edge_label_index"):
            if not isinstance(store.get(name), Tensor):
                raise ValueError(
                    f"{name!r} is missing from the batch, expected a tensor; "
                    "torch_geometric.transforms.RandomLinkSplit and LinkNeighborLoader make it"
                )
        self.kind.check(self.labels_of(batch))

    @override
    def output(self, model: nn.Module, batch: Batch) -> Tensor:
        """See :meth:`Task.output`: one row per pair."""
        if self.call is not None:
            return rows_of(self.call(model, batch), None)
        out = call_model(model, batch)
        if takes(model, "edge_label_index"):
            return rows_of(out, None)
        ends = (None, None) if self.edge_type is None else (self.edge_type[0], self.edge_type[2])
        src, dst = (
            rows_of(out, end)[nodes]
            for end, nodes in zip(ends, self._store(batch)["edge_label_index"], strict=True)
        )
        return (src * dst).sum(dim=-1)

    def _rows_wanted(self, batch: Batch) -> tuple[int, ...]:
        return (self.labels_of(batch).size(0),)

    def _store(self, batch: Batch) -> BaseStorage:
        if not isinstance(batch, HeteroData):
            return batch._store
        if self.edge_type not in batch.edge_types:
            raise ValueError(
                "'edge_type' of the task must be one of "
                f"{', '.join(map(repr, batch.edge_types))}, got {self.edge_type!r}"
            )
        return batch[self.edge_type]
