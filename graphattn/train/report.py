"""The final figures of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from graphattn._core.checks import check_number
from graphattn._core.errors import unknown_name

__all__ = ["Report"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures of one run, all of them taken with the weights of the selected epoch.

    Every table is computed from these; the keys of :meth:`to_dict` are stable.
    """

    name: str
    """What was trained, usually the recipe."""
    seed: int
    """Seed of the run."""
    split: str
    """Which split of the data set, or empty."""
    metric: str
    """Name of the metric, such as "accuracy"."""
    best_epoch: int
    """Selected epoch, counted from 1."""
    epochs: int
    """Epochs that were run."""
    train_loss: float
    """Mean loss on the training nodes."""
    train_metric: float
    """Metric on the training nodes."""
    val_loss: float
    """Mean loss on the validation nodes."""
    val_metric: float
    """Metric on the validation nodes."""
    test_loss: float
    """Mean loss on the test nodes."""
    test_metric: float
    """Metric on the test nodes."""
    seconds: float
    """Wall time of training, summed over interruptions."""
    parameters: int
    """Number of trainable values in the model."""
    device: str
    """Device that trained."""
    task: str = ""
    """What was learnt, such as "node multiclass"; empty in reports that do not know it."""
    metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of the task by split and name, such as "test_macro_f1"; without those that have
    no value, as an area under a curve where all labels are alike."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further figures of the caller, as JSON can hold them."""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, in the order of the fields."""
        return asdict(self)

    def numbers(self) -> dict[str, Any]:
        """What two runs of the same thing share: everything but the time they took."""
        return {key: value for key, value in self.to_dict().items() if key != "seconds"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Make a report from what :meth:`to_dict` returned.

        Args:
            values: One value per field; those with a default may be left out.

        Returns:
            The report.

        Raises:
            TypeError: If a loss or metric is no number.
            ValueError: If a key is unknown or missing, or a loss or metric negative or not finite.
        """
        known = [f.name for f in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown_name("key of a report", key, known)
        optional = ("task", "metrics", "extra")
        missing = [name for name in known if name not in values and name not in optional]
        if missing:
            raise ValueError(f"the report lacks {', '.join(missing)}")
        report = cls(**values)
        for name in ("train", "val", "test"):
            for figure in (f"{name}_loss", f"{name}_metric"):
                check_number(figure, getattr(report, figure))
        if not isinstance(report.metrics, Mapping):
            raise TypeError(f"'metrics' must hold names and numbers, got {report.metrics!r}")
        for figure, value in report.metrics.items():
            check_number(figure, value)
        return report
