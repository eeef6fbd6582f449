"""The final figures of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from graphattn._core.checks import check_count, check_number, check_seed
from graphattn._core.errors import unknown_name
from graphattn._core.files import read_regular_file
from graphattn._core.plain import check_plain, parse_json

__all__ = ["Report", "read_report"]

_LARGEST_FILE = 2**20
_LONGEST_WORD = 500


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
            values: One value per field; those with a default may be left out, as a report of an
                older version does.

        Returns:
            The report.

        Raises:
            TypeError: If a value is of another type than its field.
            ValueError: If a key is unknown or missing, or a value out of range; the text names it.
        """
        known = {f.name: f for f in fields(cls)}
        for key in values:
            if key not in known:
                raise unknown_name("key of a report", key, known)
        missing = [
            name
            for name, f in known.items()
            if name not in values and f.default is MISSING and f.default_factory is MISSING
        ]
        if missing:
            raise ValueError(f"the report lacks {', '.join(missing)}")
        report = cls(**values)
        for name, f in known.items():
            _CHECKS[str(f.type)](name, getattr(report, name))
        check_seed("seed", report.seed)
        if report.best_epoch > report.epochs:
            raise ValueError(
                f"'best_epoch' must be at most 'epochs', {report.epochs}, got {report.best_epoch}"
            )
        return report


def read_report(path: Path) -> Report:
    """Read a ``report.json``, whoever wrote it.

    Args:
        path: The file.

    Returns:
        The report; every field has its type and range.

    Raises:
        OSError: If it can't be read.
        ValueError: If it is no report, no regular file, or larger than 1 MiB.
    """
    content = read_regular_file(path, most=_LARGEST_FILE)
    try:
        values = parse_json(content)
        if not isinstance(values, dict):
            raise TypeError(f"it must hold keys and values, got {values!r:.200}")
        return Report.from_dict(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no report: {error}") from error


def _check_word(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be a string, got {value!r}")
    if len(value) > _LONGEST_WORD:
        raise ValueError(f"'{name}' must have at most {_LONGEST_WORD} characters, got {len(value)}")


def _check_mapping(name: str, value: object) -> None:
    if not isinstance(value, dict):
        raise TypeError(f"'{name}' must hold keys and values, got {value!r}")
    check_plain(value, name)


def _check_numbers(name: str, value: object) -> None:
    _check_mapping(name, value)
    if isinstance(value, dict):
        for key, each in value.items():
            check_number(f"{name}.{key}", each)


# By the annotation, so that a new field is checked, too.
_CHECKS: Mapping[str, Callable[[str, object], None]] = {
    "str": _check_word,
    "int": partial(check_count, least=0),
    "float": check_number,
    "dict[str, Any]": _check_mapping,
    "dict[str, float]": _check_numbers,
}
