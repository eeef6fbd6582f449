"""Loss and metrics of one split, summed up batch by batch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torchmetrics import Metric

from graphattn.tasks.metrics import Ranking, RunningMean
from graphattn.tasks.task import Task

__all__ = ["Scores"]


class Scores:
    """Sums up loss and metrics; under ``torchrun`` over all ranks, with the same result on each.

    Args:
        task: The task.
        names: Names of metrics.

    Example:
        >>> from graphattn.tasks import NodeTask
        >>> scores = Scores(NodeTask(labels="binary"), ["accuracy"])
        >>> scores.update(torch.tensor([2.0, -1.0]), torch.tensor([1, 1]))
        >>> scores.update(torch.tensor([0.5]), torch.tensor([1]))
        >>> scores.compute()["accuracy"]
        tensor(0.6667)
    """

    def __init__(self, task: Task, names: Iterable[str]) -> None:
        self.task, self.names = task, tuple(names)
        self._mean = RunningMean()
        self._metrics: dict[str, Metric] = {}

    @torch.no_grad()
    def update(self, out: Tensor, y: Tensor) -> None:
        """Take in some examples, which may be none.

        Args:
            out: Logits, from :meth:`~graphattn.tasks.Task.logits`.
            y: Labels, from :meth:`~graphattn.tasks.Task.examples`.
        """
        kind = self.task.kind
        out = out.float() if out.dtype in (torch.float16, torch.bfloat16) else out
        if not self._metrics:
            self._mean = self._mean.to(out.device)
            width = out.size(1) if out.dim() == 2 else 1
            self._metrics = {n: kind.metric(n, width).to(out.device) for n in self.names}
        count = kind.count(y)
        loss = kind.loss(out, y) if count else out.new_zeros(())
        self._mean.update(loss, count)
        for metric in self._metrics.values():
            if y.numel() or isinstance(metric, Ranking):  # ranks exchange what these keep
                kind.feed(metric, out, y)

    def reset(self) -> None:
        """Forget all examples, which takes less time than new metrics do."""
        for metric in (self._mean, *self._metrics.values()):
            metric.reset()

    def compute(self) -> dict[str, Tensor]:
        """The loss, as "loss", and the metrics by name; scalars, left on the device.

        NaN stands for what has no value, as a loss without any example.
        """
        if not self._metrics:
            raise ValueError("no batch was given to compute scores from")
        return {"loss": self._mean.compute()} | {n: m.compute() for n, m in self._metrics.items()}
