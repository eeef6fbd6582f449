"""Figures of the five factors of miscalibration."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graphattn.viz.style import DARK, GREY, LIGHT, check_frame, new_figure, tidy

__all__ = ["diversity_figure", "gap_figure", "group_figure"]


def group_figure(
    frame: pd.DataFrame, *, xlabel: str | None = None, title: str | None = None
) -> Figure:
    """Draw accuracy beside confidence for groups of nodes, with their numbers.

    For the first factor (:func:`graphattn.calibration.under_confidence`; several of its tables may
    be joined, with other words in ``group``), the third
    (:func:`graphattn.calibration.distance_to_training`), and
    :func:`graphattn.calibration.group_calibration_error`.

    Args:
        frame: Table with ``group``, ``confidence``, ``accuracy`` and ``count``. Groups without
            nodes are left out.
        xlabel: What groups are.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        TypeError: If ``frame`` is no table.
        ValueError: If it has no row or lacks a column.
    """
    check_frame("frame", frame, ("group", "confidence", "accuracy", "count"))
    frame = frame[frame["count"] > 0].reset_index(drop=True)
    figure = new_figure(max(3.2, 1.6 + 1.0 * len(frame)), 3.6, title)
    axes = figure.subplots()
    for name, colour, shift in (("accuracy", DARK, -0.2), ("confidence", LIGHT, 0.2)):
        bars = axes.bar(frame.index + shift, frame[name], 0.38, color=colour, label=name)
        axes.bar_label(bars, fmt="%.2f", fontsize="x-small", padding=1)
    names = [
        f"{group}\n{count:,} nodes"
        for group, count in zip(frame["group"], frame["count"], strict=True)
    ]
    axes.set_xticks(frame.index, names, fontsize="small")
    axes.set(xlim=(-0.6, len(frame) - 0.4), ylim=(0, 1.08), ylabel="mean over nodes")
    if xlabel is not None:
        axes.set_xlabel(xlabel)
    tidy(axes)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def diversity_figure(frame: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw how confidence and entropy are spread over nodes: the second factor.

    Args:
        frame: What :func:`graphattn.calibration.diversity` returns.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        TypeError: If ``frame`` is no table.
        ValueError: If it has no row or lacks a column.
    """
    columns = ("quantity", "lower", "upper", "count", "correct", "mean", "std")
    check_frame("frame", frame, columns)
    names = {"confidence": "confidence", "entropy": "entropy / log C"}
    parts = list(frame.groupby("quantity", sort=False))
    figure = new_figure(3.6 * len(parts), 3.4, title)
    row: Any = figure.subplots(1, len(parts), sharey=True, squeeze=False)
    for axes, (quantity, part) in zip(row[0], parts, strict=True):
        place = (part["lower"], part["correct"], part["upper"] - part["lower"])
        style: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.6}
        axes.bar(*place, color=DARK, label="right", **style)
        wrong = part["count"] - part["correct"]
        axes.bar(
            place[0], wrong, place[2], bottom=part["correct"], color=LIGHT, label="wrong", **style
        )
        mean, std = part["mean"].iloc[0], part["std"].iloc[0]
        axes.axvline(mean, color="black", linewidth=1, linestyle="--")
        axes.set_title(f"mean {mean:.2f}, standard deviation {std:.2f}", fontsize="small")
        axes.set(xlim=(0, 1), xlabel=names.get(str(quantity), quantity))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        tidy(axes)
    row[0][0].set_ylabel("nodes")
    row[0][0].legend(fontsize="small", frameon=False, title="prediction")
    return figure


def gap_figure(
    frame: pd.DataFrame, *, xlabel: str | None = None, title: str | None = None
) -> Figure:
    """Draw the gap between accuracy and confidence against a value of nodes, with their numbers.

    For the fourth factor (:func:`graphattn.calibration.relative_confidence`) and the fifth
    (:func:`graphattn.calibration.neighbor_similarity`). Above zero the classifier is not sure
    enough, below it too sure. Nodes without a value are named below the figure.

    Args:
        frame: Table with ``lower``, ``upper``, ``value``, ``gap`` and ``count``.
        xlabel: What the value is.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        TypeError: If ``frame`` is no table.
        ValueError: If it has no row, lacks a column, or no node has a value.
    """
    check_frame("frame", frame, ("lower", "upper", "value", "gap", "count"))
    without = int(frame.loc[frame["lower"].isna(), "count"].sum())
    frame = frame[frame["lower"].notna() & (frame["count"] > 0)]
    if not len(frame):
        raise ValueError("'frame' must have a node with a value, got none")
    figure = new_figure(4.6, 4.2, title)
    axes: Any = figure.subplots(2, 1, sharex=True, height_ratios=(2.5, 1))
    top, bottom = axes
    top.axhline(0, color="black", linewidth=0.9, linestyle="--")
    top.plot(frame["value"], frame["gap"], color=DARK, linewidth=1.0)
    top.scatter(
        frame["value"],
        frame["gap"],
        # Areas as counts, yet never too small to be seen.
        s=12 + 120 * frame["count"] / frame["count"].max(),
        color=LIGHT,
        edgecolor=DARK,
        zorder=3,
    )
    top.set_ylabel("accuracy - confidence")
    top.margins(y=0.2)
    bottom.bar(
        frame["lower"],
        frame["count"],
        frame["upper"] - frame["lower"],
        align="edge",
        color=GREY,
        edgecolor="white",
        linewidth=0.6,
    )
    bottom.set_ylabel("nodes")
    bottom.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    note = f"{without:,} nodes have no neighbours" if without else ""
    bottom.set_xlabel("\n".join(part for part in (xlabel or "value", note) if part))
    tidy(top)
    tidy(bottom)
    figure.align_ylabels()
    return figure
