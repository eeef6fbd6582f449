"""What a case of the benchmark is, and what is read off its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from graphattn.bench.measuring import Contender, Missing, Row

__all__ = ["Case", "Figure", "Goal", "Lineup", "Settings", "by_kind"]

Kinds = Mapping[str, Row]


@dataclass(frozen=True)
class Settings:
    """What the user decides about all cases."""

    root: Path | None = None
    """Folder of all data sets."""
    scale: float = 1.0
    """Share of the declared sizes of synthetic graphs."""


@dataclass(frozen=True)
class Figure:
    """A number with the goals that it is held against."""

    figure: str
    """What it says."""
    measured: float
    """Its value."""
    must: float | None
    """What it has to reach."""
    aim: float | None
    """What it should reach."""
    met: Literal["aim", "must", "no", ""]
    """What it does reach; empty where there is no goal."""


@dataclass(frozen=True)
class Goal:
    """A figure of a case, computed from its rows."""

    figure: str
    """What it says."""
    must: float | None
    """What it has to reach."""
    aim: float | None
    """What it should reach."""
    value: Callable[[Kinds], float | None]
    """The figure, from the fastest row of each kind; ``None`` if a row for it is missing."""
    at_most: bool = False
    """Small values are good, not large ones."""

    def read(self, rows: Sequence[Row]) -> Figure | None:
        """The figure of these rows, or ``None`` where it can't be computed.

        Args:
            rows: What was measured.
        """
        value = self.value(by_kind(rows))
        if value is None:
            return None
        goals: dict[Literal["must", "aim"], float | None] = {"must": self.must, "aim": self.aim}
        there = {name: goal for name, goal in goals.items() if goal is not None}
        met: Literal["aim", "must", "no", ""] = "no" if there else ""
        for name, goal in there.items():
            met = name if self._reaches(value, goal) else met
        return Figure(self.figure, value, self.must, self.aim, met)

    def _reaches(self, value: float, goal: float) -> bool:
        return value <= goal if self.at_most else value >= goal


@dataclass(frozen=True)
class Lineup:
    """Who competes on which input."""

    contenders: Sequence[Contender]
    """Those that may run."""
    missing: Sequence[Missing] = ()
    """Those that don't, with the reason."""
    reference: Mapping[str, Tensor] = field(default_factory=dict)
    """Right results, in ``float64``."""
    note: str = ""
    """What is to be known of the input beyond its declaration."""


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    """Its name, which begins with that of its group."""
    inputs: str
    """Its inputs in a line."""
    lineup: Callable[[Settings], Lineup]
    """Makes the contenders."""
    goals: tuple[Goal, ...] = ()
    """Figures to read off."""
    repeats: int = 5
    """Rounds."""
    threads: Literal["one", "all", "both"] = "all"
    """On how many CPU threads it runs unless the user says so."""
    memory: bool = True
    """Whether memory is measured."""
    forms_like: str | None = None
    """Case of the group before this one whose slower forms of peers do not run here."""


def by_kind(rows: Sequence[Row]) -> dict[str, Row]:
    """The fastest row of every kind.

    Args:
        rows: What was measured.
    """
    return {row.kind: row for row in sorted(rows, key=lambda row: -row.ms)}
