"""Reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graphattn.viz.style import DARK, GREY, LIGHT, check_frame, new_figure, tidy

__all__ = ["reliability_diagram", "reliability_diagram_of_runs"]

_PER_ROW = 5
_BINS = ("lower", "upper", "confidence", "accuracy", "count")


def reliability_diagram(
    bins: pd.DataFrame | Mapping[str, pd.DataFrame], *, title: str | None = None
) -> Figure:
    """Draw accuracy against confidence of one run, or of several, five in a row.

    Bars are accuracies, with the gap to the mean confidence of the bin hatched; above the diagonal
    the classifier is not sure enough, below it too sure. The lower part shows how many nodes a bin
    has.

    Args:
        bins: What :func:`graphattn.calibration.reliability_bins` returns, or several of these by
            title, such as ``{"uncalibrated": ..., "GATS": ...}``.
        title: Title of the whole figure.

    Returns:
        The figure.

    Raises:
        TypeError: If ``bins`` is no table.
        ValueError: If there is no table, or a column is missing.
    """
    panels: Mapping[str, pd.DataFrame] = bins if isinstance(bins, Mapping) else {"": bins}
    if not panels:
        raise ValueError("'bins' must have at least one table, got none")
    for frame in panels.values():
        check_frame("bins", frame, _BINS)
    rows = -(-len(panels) // _PER_ROW)
    figure = new_figure(3.6 * min(len(panels), _PER_ROW), 4.6 * rows, title)
    upper, lower = _panels(figure, len(panels))
    for top, bottom, (name, frame) in zip(upper, lower, panels.items(), strict=True):
        frame = frame[frame["count"] > 0]
        width = frame["upper"] - frame["lower"]
        top.bar(
            frame["lower"],
            frame["accuracy"],
            width,
            align="edge",
            color=DARK,
            edgecolor="white",
            linewidth=0.6,
            label="accuracy",
        )
        top.bar(
            frame["lower"],
            frame["confidence"] - frame["accuracy"],
            width,
            bottom=frame["accuracy"],
            align="edge",
            color="none",
            edgecolor=LIGHT,
            hatch="////",
            linewidth=0.8,
            label="gap to confidence",
        )
        _counts(bottom, frame)
        top.set_title(name)
    _name(figure, upper, lower)
    return figure


def reliability_diagram_of_runs(
    band: pd.DataFrame, runs: Sequence[pd.DataFrame] = (), *, title: str | None = None
) -> Figure:
    """Draw accuracy against confidence of many runs.

    Grey lines are runs, the thick line their mean, and the band one standard deviation on either
    side. The lower part shows how many nodes a bin has, over all runs.

    Args:
        band: What :func:`graphattn.calibration.reliability_over_runs` returns.
        runs: What it was made of, if single runs shall be seen.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        TypeError: If an input is no table.
        ValueError: If a column is missing.
    """
    check_frame("band", band, (*_BINS, "accuracy_std"))
    for frame in runs:
        check_frame("runs", frame, _BINS)
    figure = new_figure(4.2, 5.0, title)
    (top,), (bottom,) = _panels(figure, 1)
    for number, frame in enumerate(runs):
        frame = frame[frame["count"] > 0]
        top.plot(
            frame["confidence"],
            frame["accuracy"],
            color=GREY,
            linewidth=0.6,
            alpha=0.5,
            label=None if number else "runs",
        )
    band = band[band["count"] > 0]
    top.fill_between(
        band["confidence"],
        band["accuracy"] - band["accuracy_std"],
        band["accuracy"] + band["accuracy_std"],
        color=LIGHT,
        alpha=0.5,
        linewidth=0,
        label="±1 standard deviation",
    )
    top.plot(
        band["confidence"],
        band["accuracy"],
        color=DARK,
        linewidth=1.8,
        marker="o",
        markersize=4,
        label="mean",
    )
    _counts(bottom, band)
    _name(figure, [top], [bottom])
    return figure


def _panels(figure: Figure, number: int) -> tuple[list[Axes], list[Axes]]:
    """Axes for diagrams, and for counts below each."""
    columns, rows = min(number, _PER_ROW), -(-number // _PER_ROW)
    axes: Any = figure.subplots(
        2 * rows, columns, sharex=True, sharey="row", squeeze=False, height_ratios=(3.5, 1) * rows
    )
    upper, lower = axes[0::2].flatten().tolist(), axes[1::2].flatten().tolist()
    for unused in (*upper[number:], *lower[number:]):
        unused.remove()
    for top, bottom in zip(upper[:number], lower[:number], strict=True):
        # In front of bars.
        style: dict[str, Any] = {"color": "black", "linewidth": 0.9, "linestyle": "--", "zorder": 3}
        top.plot([0, 1], [0, 1], label="calibrated", **style)
        top.set(xlim=(0, 1), ylim=(0, 1))
        top.xaxis.set_major_formatter("{x:g}")
        bottom.tick_params(labelbottom=True)
        tidy(top)
        tidy(bottom)
    return upper[:number], lower[:number]


def _counts(axes: Axes, frame: pd.DataFrame) -> None:
    axes.bar(
        frame["lower"],
        frame["count"],
        frame["upper"] - frame["lower"],
        align="edge",
        color=GREY,
        edgecolor="white",
        linewidth=0.6,
    )
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))


def _name(figure: Figure, upper: Sequence[Axes], lower: Sequence[Axes]) -> None:
    figure.legend(
        *upper[0].get_legend_handles_labels(),
        loc="outside lower center",
        # All in one row if there is the room.
        ncols=4 if len(lower) > 1 else 2,
        fontsize="small",
        frameon=False,
    )
    for number, (top, bottom) in enumerate(zip(upper, lower, strict=True)):
        bottom.set_xlabel("confidence")
        if number % _PER_ROW == 0:
            top.set_ylabel("accuracy")
            bottom.set_ylabel("nodes")
    figure.align_ylabels()
