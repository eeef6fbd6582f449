"""Figures that several cases share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from graphattn.bench.case import Goal, Kinds

__all__ = ["faster_than", "less_memory_than", "of_the_floor", "peak_at_most"]

_SAID = {
    "pyg": "eager PyG",
    "compiled": "compiled PyG",
    "dgl": "DGL",
    "plain": "plain torch",
}


def faster_than(kind: str, must: float, aim: float | None) -> Goal:
    """How many times longer the step of a peer takes than ours.

    Args:
        kind: The peer's kind.
        must: What has to be reached.
        aim: What should be reached.
    """
    return Goal(f"times faster than {_SAID[kind]}", must, aim, _ratio(kind, lambda row: row.ms))


def less_memory_than(
    kind: str, must: float, aim: float | None, *, of: Literal["peak", "held"] = "peak"
) -> Goal:
    """How many times more memory the step of a peer takes than ours.

    Args:
        kind: The peer's kind.
        must: What has to be reached.
        aim: What should be reached.
        of: At the peak, or between forward and backward.
    """
    name = "peak" if of == "peak" else "memory held for backward"
    return Goal(
        f"times less {name} than {_SAID[kind]}",
        must,
        aim,
        _ratio(kind, lambda row: row.peak_mb if of == "peak" else row.held_mb),
    )


def of_the_floor(must: tuple[float, float], aim: tuple[float, float]) -> tuple[Goal, Goal]:
    """Time of the bare gather-sum over ours, forward and for the whole step.

    Args:
        must: What the two have to reach.
        aim: What the two should reach.
    """

    def forward(rows: Kinds) -> float | None:
        if "floor" not in rows:
            return None
        return rows["floor"].forward_ms / rows["ours"].forward_ms

    def both(rows: Kinds) -> float | None:
        return rows["floor"].ms / rows["ours"].ms if "floor" in rows else None

    return (
        Goal("floor/ours, forward", must[0], aim[0], forward),
        Goal("floor/ours, step", must[1], aim[1], both),
    )


def peak_at_most(must: float, aim: float | None) -> Goal:
    """Our peak memory in MB.

    Args:
        must: What has to be reached.
        aim: What should be reached.
    """
    return Goal("peak, MB", must, aim, lambda rows: rows["ours"].peak_mb, at_most=True)


def _ratio(kind: str, of: Callable[..., float | None]) -> Callable[[Kinds], float | None]:
    def ratio(rows: Kinds) -> float | None:
        if kind not in rows:
            return None
        theirs, ours = of(rows[kind]), of(rows["ours"])
        return None if theirs is None or not ours or ours <= 0 else theirs / ours

    return ratio
