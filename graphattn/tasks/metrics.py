"""Metrics that torchmetrics lacks, as its objects: fed batch by batch, summed over ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

__all__ = ["Ranking", "RunningMean", "area_under_roc", "average_precision"]


class RunningMean(Metric):
    """A mean over examples of values that are means over batches.

    Of one batch it is the value itself, bit for bit, which sum and division are not.

    Example:
        >>> mean = RunningMean()
        >>> mean.update(torch.tensor(1.0), 3)
        >>> mean.update(torch.tensor(5.0), 1)
        >>> mean.compute()
        tensor(2.)
    """

    full_state_update = False
    mean: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Of several ranks one value each comes back, see `compute`.
        self.add_state("mean", default=torch.zeros(()), dist_reduce_fx=None)
        self.add_state("count", default=torch.zeros(()), dist_reduce_fx=None)

    def update(self, value: Tensor, count: int) -> None:
        """Take in the mean ``value`` of ``count`` examples; none change nothing."""
        if count:
            before, self.count = self.count, self.count + count
            # The new share of the first is exactly 1; `count / tensor` would be rounded twice.
            self.mean = self.mean + (value - self.mean) * (1 - before / self.count)

    def compute(self) -> Tensor:
        """The mean; NaN without any example."""
        total = self.count.sum()
        mean = self.mean if self.mean.dim() == 0 else (self.mean * (self.count / total)).sum()
        return torch.where(total > 0, mean, torch.nan)


class Ranking(Metric):
    """The mean over labels of a value that depends on the order of the outputs alone.

    Labels of which all known examples are alike have no such value and are left out, as ogb does;
    without any left the result is NaN.

    Args:
        value: Called with scores in ``[0, 1]`` ``[M]`` and truths ``[M]`` of one label.
        width: Number of labels ``T``.

    Example:
        >>> metric = Ranking(area_under_roc, 1)
        >>> metric.update(torch.tensor([[-3.0], [0.5], [2.0]]), torch.tensor([[0], [1], [-1]]))
        >>> metric.compute()
        tensor(1.)
    """

    full_state_update = False
    out: list[Tensor]
    y: list[Tensor]

    def __init__(self, value: Callable[[Tensor, Tensor], Tensor], width: int) -> None:
        super().__init__()
        self.value, self.width = value, width
        self.add_state("out", default=[], dist_reduce_fx="cat")
        self.add_state("y", default=[], dist_reduce_fx="cat")

    def update(self, out: Tensor, y: Tensor) -> None:
        """Take in outputs ``[M, T]`` and truths ``[M, T]``: 1, 0, or -1 if unknown."""
        self.out.append(out.float())
        self.y.append(y.to(torch.int8))

    def compute(self) -> Tensor:
        """The mean over labels."""
        out, y = (_joined(state).reshape(-1, self.width) for state in (self.out, self.y))
        values = []
        for scores, truths in zip(out.unbind(1), y.unbind(1), strict=True):
            known = truths >= 0
            scores, truths = scores[known], truths[known].long()
            if truths.numel() and bool(truths.min() != truths.max()):
                values.append(self.value(_places(scores), truths))
        return torch.stack(values).mean() if values else out.new_full((), torch.nan)


def area_under_roc(scores: Tensor, truths: Tensor) -> Tensor:
    """Area under the ROC curve."""
    area: Tensor = binary_auroc(scores, truths, validate_args=False)
    return area


def average_precision(scores: Tensor, truths: Tensor) -> Tensor:
    """Average precision: the sum of precisions, each times the gain in recall."""
    precision: Tensor = binary_average_precision(scores, truths, validate_args=False)
    return precision


def _joined(state: Any) -> Tensor:
    """A state as one tensor, which it is already where ranks were put together."""
    return state if isinstance(state, Tensor) else torch.cat(state)


def _places(scores: Tensor) -> Tensor:
    """Scores in ``[0, 1]`` in the same order. A sigmoid would make ties of large ones."""
    distinct, place = torch.unique(scores, return_inverse=True)
    placed: Tensor = place.double() / max(distinct.numel() - 1, 1)
    return placed
