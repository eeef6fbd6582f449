"""Kinds of labels: what they look like, their loss, and their metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelAccuracy,
    MultilabelF1Score,
)
from typing_extensions import override

from graphattn._core.errors import unknown_name
from graphattn.tasks.metrics import Ranking, area_under_roc, average_precision
from graphattn.tasks.names import LabelName

__all__ = ["LABELS", "Binary", "Labels", "MultiClass", "MultiLabel"]


class Labels(ABC):
    """One kind of labels.

    Missing labels are -1, and NaN where labels are floats.
    """

    name: ClassVar[LabelName]
    """Its name."""
    metrics: ClassVar[tuple[str, ...]]
    """Metrics that it has; the first is the usual one."""
    left_out: ClassVar[tuple[str, ...]] = ()
    """Those of ``metrics`` that are only computed where they are asked for."""

    def check(self, y: Tensor) -> None:
        """See that labels are of this kind.

        Args:
            y: Labels as the user has them, one row per example.

        Raises:
            ValueError: If they have another shape or lie outside the range.
        """
        form = self.form(y)
        # NaN is neither, and means that the label is missing.
        wrong = (form < -1) | ((form < 0) & (form > -1)) | self._too_large(form)
        if wrong.any():
            row = int(wrong.nonzero()[0, 0])
            raise ValueError(
                f"'y' must lie in {self._range} (-1{', NaN' if y.is_floating_point() else ''} if "
                f"unknown) for {self.name!r}, got {form[wrong][0].item():g} in row {row} "
                f"({int(wrong.sum())} such value(s))"
            )

    def known(self, y: Tensor) -> Tensor:
        """Which labels are not missing. Shape of ``y``."""
        return y >= 0  # false for NaN

    def count(self, y: Tensor) -> int:
        """Number of known labels of examples that have one."""
        return y.numel()

    @property
    @abstractmethod
    def _range(self) -> str:
        """Where labels lie, for errors."""

    @abstractmethod
    def form(self, y: Tensor) -> Tensor:
        """Bring labels to the form that all other methods take.

        Args:
            y: Labels as the user has them, one row per example.

        Returns:
            Integers ``[M]`` or ``[M, T]``, -1 where the label is missing; or floats, with NaN
            there, where labels may be anything between no and yes.

        Raises:
            ValueError: If they have another shape or dtype; values are not looked at.
        """

    @abstractmethod
    def _too_large(self, y: Tensor) -> Tensor:
        """Which labels are above the range."""

    @abstractmethod
    def width(self, y: Tensor) -> int:
        """Outputs per example that these labels need, of a model for them."""

    @abstractmethod
    def fit_output(self, out: Tensor, width: int) -> Tensor | None:
        """The output in the form of the labels, or `None` if it can't have it."""

    @abstractmethod
    def loss(self, out: Tensor, y: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Mean loss over labels that are not missing.

        Args:
            out: Logits, from :meth:`fit_output`.
            y: Labels, from :meth:`form`; at least one is known.
            smoothing: Share of the truth that is spread over all answers.

        Returns:
            A scalar.
        """

    @abstractmethod
    def metric(self, name: str, width: int) -> Metric:
        """A metric, to be fed by :meth:`feed`, for outputs of a width."""

    @abstractmethod
    def feed(self, metric: Metric, out: Tensor, y: Tensor) -> None:
        """Feed a metric with logits and labels."""

    def check_metric(self, name: str) -> None:
        """Reject a metric that these labels do not have.

        Raises:
            ValueError: If they do not; the text lists those that they have.
        """
        if name not in self.metrics:
            raise unknown_name(f"metric for {self.name!r} labels", name, self.metrics)


class MultiClass(Labels):
    """One of several classes: integers ``[M]`` or ``[M, 1]``; cross-entropy."""

    name = "multiclass"
    metrics = ("accuracy", "micro_f1", "macro_f1", "roc_auc", "average_precision")
    left_out = ("roc_auc", "average_precision")  # they keep all outputs, classes of them per node

    @property
    def _range(self) -> str:
        return "[0, number of classes)"

    @override
    def form(self, y: Tensor) -> Tensor:
        y = _column(y)
        if y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
            raise ValueError(
                "'y' must hold classes as integers of shape [M] for 'multiclass', got shape "
                f"{list(y.shape)} and {y.dtype}"
            )
        return y.long()

    def _too_large(self, y: Tensor) -> Tensor:
        return torch.zeros_like(y, dtype=torch.bool)

    @override
    def width(self, y: Tensor) -> int:
        return int(y.max()) + 1 if y.numel() else 1

    @override
    def fit_output(self, out: Tensor, width: int) -> Tensor | None:
        return out if out.dim() == 2 and out.size(1) >= max(width, 2) else None

    @override
    def loss(self, out: Tensor, y: Tensor, *, smoothing: float = 0.0) -> Tensor:
        return functional.cross_entropy(out, y, label_smoothing=smoothing)

    @override
    def metric(self, name: str, width: int) -> Metric:
        if name in _RANKINGS:
            return Ranking(_RANKINGS[name], width)
        if name == "macro_f1":
            return MulticlassF1Score(width, average="macro", validate_args=False)
        # Of one answer per example, micro-F1 is the accuracy.
        return MulticlassAccuracy(width, average="micro", validate_args=False)

    @override
    def feed(self, metric: Metric, out: Tensor, y: Tensor) -> None:
        if isinstance(metric, Ranking):
            metric.update(out, functional.one_hot(y, out.size(1)))
        else:
            metric.update(out.argmax(dim=1), y)


class Binary(Labels):
    """Yes or no: 1 or 0, of any dtype, ``[M]`` or ``[M, 1]``; binary cross-entropy.

    A model gives one logit per example, or two, of which the difference counts.
    """

    name = "binary"
    metrics = ("roc_auc", "average_precision", "accuracy", "f1", "micro_f1", "macro_f1")

    @property
    def _range(self) -> str:
        return "[0, 1]"

    @override
    def form(self, y: Tensor) -> Tensor:
        y = _column(y)
        if y.dim() != 1:
            raise ValueError(f"'y' must have shape [M] for 'binary', got {list(y.shape)}")
        return y if y.is_floating_point() else y.long()

    def _too_large(self, y: Tensor) -> Tensor:
        return y > 1

    @override
    def width(self, y: Tensor) -> int:
        return 1

    @override
    def fit_output(self, out: Tensor, width: int) -> Tensor | None:
        if out.dim() == 2 and out.size(1) == 2:
            return out[:, 1] - out[:, 0]
        out = _column(out)
        return out if out.dim() == 1 else None

    @override
    def loss(self, out: Tensor, y: Tensor, *, smoothing: float = 0.0) -> Tensor:
        return _yes_or_no(out, y, smoothing)

    @override
    def metric(self, name: str, width: int) -> Metric:
        if name in _RANKINGS:
            return Ranking(_RANKINGS[name], 1)
        if name == "f1":
            return BinaryF1Score(validate_args=False)
        if name == "macro_f1":
            return MulticlassF1Score(2, average="macro", validate_args=False)
        return MulticlassAccuracy(2, average="micro", validate_args=False)

    @override
    def feed(self, metric: Metric, out: Tensor, y: Tensor) -> None:
        truth = (y > 0.5).long()
        if isinstance(metric, Ranking):
            metric.update(out.unsqueeze(1), truth.unsqueeze(1))
        else:
            metric.update((out > 0).long(), truth)


class MultiLabel(Labels):
    """Yes or no to ``T`` questions: 1 or 0, of any dtype, ``[M, T]``; binary cross-entropy."""

    name = "multilabel"
    metrics = ("roc_auc", "average_precision", "accuracy", "micro_f1", "macro_f1")

    @property
    def _range(self) -> str:
        return "[0, 1]"

    @override
    def form(self, y: Tensor) -> Tensor:
        if y.dim() != 2:
            raise ValueError(f"'y' must have shape [M, T] for 'multilabel', got {list(y.shape)}")
        return y if y.is_floating_point() else y.long()

    def _too_large(self, y: Tensor) -> Tensor:
        return y > 1

    @override
    def width(self, y: Tensor) -> int:
        return y.size(1)

    @override
    def fit_output(self, out: Tensor, width: int) -> Tensor | None:
        return out if out.dim() == 2 and out.size(1) == width else None

    @override
    def count(self, y: Tensor) -> int:
        return int(self.known(y).sum())

    @override
    def loss(self, out: Tensor, y: Tensor, *, smoothing: float = 0.0) -> Tensor:
        known = self.known(y)
        return _yes_or_no(out[known], y[known], smoothing)

    @override
    def metric(self, name: str, width: int) -> Metric:
        if name in _RANKINGS:
            return Ranking(_RANKINGS[name], width)
        kinds: dict[str, Any] = {
            "accuracy": partial(MultilabelAccuracy, average="micro"),
            "micro_f1": partial(MultilabelF1Score, average="micro"),
            "macro_f1": partial(MultilabelF1Score, average="macro"),
        }
        made: Metric = kinds[name](width, ignore_index=-1, validate_args=False)
        return made

    @override
    def feed(self, metric: Metric, out: Tensor, y: Tensor) -> None:
        truth = torch.where(self.known(y), (y > 0.5).long(), -1)
        # Logits of a batch that happen to lie in [0, 1] would be taken for probabilities.
        metric.update(out if isinstance(metric, Ranking) else (out > 0).long(), truth)


_RANKINGS = {"roc_auc": area_under_roc, "average_precision": average_precision}

LABELS: Mapping[str, Labels] = MappingProxyType(
    {kind.name: kind for kind in (MultiClass(), Binary(), MultiLabel())}
)
"""Kinds of labels by name."""


def _column(values: Tensor) -> Tensor:
    """A column as a vector."""
    return values.squeeze(1) if values.dim() == 2 and values.size(1) == 1 else values


def _yes_or_no(out: Tensor, y: Tensor, smoothing: float) -> Tensor:
    y = y.to(out.dtype)
    if smoothing:
        y = y * (1 - smoothing) + 0.5 * smoothing
    return functional.binary_cross_entropy_with_logits(out, y)
