"""Figures that several cases share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from graphattn.bench.case import Goal, Kinds
from graphattn.bench.measuring import Row

__all__ = ["faster_than", "less_memory_than", "of_the_floor", "peak_at_most"]

_SAID = {
    "pyg": "eager PyG",
    "compiled": "compiled PyG",
    "dgl": "DGL",
    "plain": "plain torch",
    "ours plain": "without kernels",
}


def faster_than(kind: str, must: float | None, aim: float | None, *, ours: str = "ours") -> Goal:
    """How many times longer the step of a peer takes than ours.

    Args:
        kind: The peer's kind.
        must: What has to be reached.
        aim: What should be reached.
        ours: Our kind.
    """
    name = f"times faster than {_SAID[kind]}" + (f", {_SAID[ours]}" if ours in _SAID else "")
    return Goal(name, must, aim, _ratio(kind, lambda row: row.ms, ours))


def less_memory_than(
    kind: str, must: float | None, aim: float | None, *, of: Literal["peak", "held"] = "peak"
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


def of_the_floor(
    must: tuple[float, float], aim: tuple[float, float]
) -> tuple[Goal, Goal, Goal, Goal]:
    """Time of the bare gather-sum over ours, forward and for the whole step.

    The goals are for the op; how the layer with its dense projections stands is told beside.

    Args:
        must: What the two have to reach.
        aim: What the two should reach.
    """
    forward = _floor_over(lambda row: row.forward_ms)
    step = _floor_over(lambda row: row.ms)
    return (
        Goal("floor/op, forward", must[0], aim[0], forward("ours op")),
        Goal("floor/op, step", must[1], aim[1], step("ours op")),
        Goal("floor/layer, forward", None, None, forward("ours")),
        Goal("floor/layer, step", None, None, step("ours")),
    )


def peak_at_most(must: float | None, aim: float | None) -> Goal:
    """Our peak memory in MB.

    Args:
        must: What has to be reached.
        aim: What should be reached.
    """
    return Goal("peak, MB", must, aim, lambda rows: rows["ours"].peak_mb, at_most=True)


def _floor_over(
    of: Callable[[Row], float],
) -> Callable[[str], Callable[[Kinds], float | None]]:
    def over(kind: str) -> Callable[[Kinds], float | None]:
        return lambda rows: of(rows["floor"]) / of(rows[kind]) if "floor" in rows else None

    return over


def _ratio(
    kind: str, of: Callable[[Row], float | None], ours: str = "ours"
) -> Callable[[Kinds], float | None]:
    def ratio(rows: Kinds) -> float | None:
        if kind not in rows or ours not in rows:
            return None
        theirs, own = of(rows[kind]), of(rows[ours])
        return None if theirs is None or not own or own <= 0 else theirs / own

    return ratio
