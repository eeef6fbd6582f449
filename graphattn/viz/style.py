"""What all figures share: colours, and checks of the tables they draw."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["DARK", "GREY", "LIGHT", "check_frame", "new_figure", "tidy"]

# A dark and a light colour that differ in grey, too, and for those who see no red or green.
DARK = "#1f4e79"
LIGHT = "#f0a860"
GREY = "#8c8c8c"


def check_frame(name: str, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that a table can be drawn.

    Raises:
        TypeError: If it is no table.
        ValueError: If it has no row or lacks a column.
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"'{name}' must be a DataFrame, got {type(frame).__name__}")
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ValueError(
            f"'{name}' must have the columns {list(columns)}, got none named {missing}"
        )
    if not len(frame):
        raise ValueError(f"'{name}' must have at least one row, got none")


def new_figure(width: float, height: float, title: str | None) -> Figure:
    """An empty figure whose parts find their places themselves."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    if title is not None:
        figure.suptitle(title)
    return figure


def tidy(axes: Axes) -> None:
    """Leave out the lines that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e0e0e0", linewidth=0.6)
