"""Confidences in bins, and how far accuracy lies from confidence in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from torch import Tensor

from graphattn._core.checks import check_choice, check_count
from graphattn.calibration.outcome import Floats, Ints, outcome_of

__all__ = [
    "Binning",
    "Bins",
    "Closed",
    "Norm",
    "bins_of",
    "check_binning",
    "equal_counts",
    "reliability_bins",
    "reliability_over_runs",
]

Binning: TypeAlias = Literal["width", "mass"]
Closed: TypeAlias = Literal["left", "right"]
Norm: TypeAlias = Literal["l1", "squared", "l2", "max"]


@dataclass(frozen=True)
class Bins:
    """Sums over the members of every bin. Shape ``[B]`` each."""

    count: Ints
    confidence: Floats
    correct: Floats

    def means(self) -> pd.DataFrame:
        """Mean confidence, accuracy, the gap (accuracy minus confidence) and count; NaN of none."""
        count = np.where(self.count > 0, self.count, np.nan)
        means = pd.DataFrame(
            {"confidence": self.confidence / count, "accuracy": self.correct / count}
        )
        return means.assign(gap=means["accuracy"] - means["confidence"], count=self.count)

    def error(self, norm: Norm) -> float:
        """The gaps of all bins as one number; an empty bin adds nothing."""
        filled = self.count > 0
        gap = np.abs(self.confidence - self.correct)[filled] / self.count[filled]
        share = self.count[filled] / self.count.sum()
        if norm == "max":
            return float(gap.max())
        if norm == "l1":
            return float((gap * share).sum())
        squared = float((gap**2 * share).sum())
        return squared if norm == "squared" else squared**0.5


def check_binning(num_bins: int, bins: Binning, closed: Closed, norm: Norm = "l1") -> None:
    """Check the settings that say how confidences are put into bins.

    Raises:
        TypeError: If ``num_bins`` is no whole number.
        ValueError: If there are fewer than two bins, or a word is not known.
    """
    check_count("num_bins", num_bins, least=2)
    check_choice("bins", bins, ("width", "mass"))
    check_choice("closed", closed, ("left", "right"))
    check_choice("norm", norm, ("l1", "squared", "l2", "max"))


def place_of(confidence: Floats, num_bins: int, bins: Binning, closed: Closed) -> Ints:
    """The bin of every confidence. Shape ``[M]``."""
    if bins == "mass":
        return equal_counts(confidence, num_bins)
    if closed == "left":
        place = np.floor(confidence * num_bins).astype(np.int64)
    else:
        borders = np.arange(num_bins + 1) / num_bins
        place = np.searchsorted(borders, confidence, side="left") - 1
    # A probability of 1 (or, if bins are closed on the right, of 0) has no bin of its own.
    return np.clip(place, 0, num_bins - 1)


def equal_counts(value: Floats | Ints, num_bins: int) -> Ints:
    """Bins of (almost) equal counts in the order of a value; the first of equal ones comes first.

    Bin ``k`` holds the places from ``floor(k M / B)`` up to ``floor((k + 1) M / B)``.
    """
    borders = np.arange(num_bins + 1) * len(value) // num_bins
    place = np.empty(len(value), dtype=np.int64)
    place[np.argsort(value, kind="stable")] = np.repeat(np.arange(num_bins), np.diff(borders))
    return place


def bins_of(place: Ints, confidence: Floats, correct: Floats, num_bins: int) -> Bins:
    """Sums over the members of every bin."""
    return Bins(
        np.bincount(place, minlength=num_bins),
        np.bincount(place, confidence, num_bins).astype(np.float64),
        np.bincount(place, correct, num_bins).astype(np.float64),
    )


def reliability_bins(
    probabilities: Tensor,
    y: Tensor,
    *,
    mask: Tensor | None = None,
    num_bins: int = 15,
    bins: Binning = "width",
    closed: Closed = "left",
) -> pd.DataFrame:
    """What a reliability diagram shows: accuracy against confidence, bin by bin.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.
        num_bins: See :func:`~graphattn.calibration.expected_calibration_error`, as for the rest.
        bins: Kind of bins.
        closed: Side on which a border belongs to a bin.

    Returns:
        One row per bin: its borders ``lower`` and ``upper`` (of bins of equal counts the least and
        the greatest confidence), the mean ``confidence``, the ``accuracy``, and the ``count`` of
        nodes. An empty bin has NaN and a count of 0.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there are fewer than two bins, or an input is not as described.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
        >>> reliability_bins(probabilities, torch.tensor([0, 1, 1]), num_bins=2).round(2)
           lower  upper  confidence  accuracy  count
        0    0.0    0.5         NaN       NaN      0
        1    0.5    1.0        0.77      0.67      3
    """
    check_binning(num_bins, bins, closed)
    outcome = outcome_of(probabilities, y, mask)
    place = place_of(outcome.confidence, num_bins, bins, closed)
    means = bins_of(place, outcome.confidence, outcome.correct, num_bins).means()
    if bins == "width":
        lower, upper = (pd.Series(np.arange(num_bins) + side) / num_bins for side in (0, 1))
    else:
        by_bin = pd.Series(outcome.confidence).groupby(place)
        lower, upper = (side.reindex(range(num_bins)) for side in (by_bin.min(), by_bin.max()))
    means.insert(0, "lower", lower)
    means.insert(1, "upper", upper)
    return means.drop(columns="gap")


def reliability_over_runs(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the bins of many runs, for a diagram with a band.

    Args:
        runs: What :func:`reliability_bins` returned for each run, with the same bins.

    Returns:
        One row per bin: its borders ``lower`` and ``upper`` (means over runs, for bins of equal
        counts), ``confidence`` and ``accuracy`` as means over the runs that have nodes there,
        ``accuracy_std`` as sample standard deviation (NaN of a single run), ``runs`` as the number
        of such runs, and ``count`` as the number of nodes of all runs.

    Raises:
        ValueError: If there is no run, or the runs have other numbers of bins.
    """
    if not runs:
        raise ValueError("'runs' must have at least one frame, got none")
    sizes = sorted({len(run) for run in runs})
    if len(sizes) > 1:
        raise ValueError(f"'runs' must have the same number of bins, got {sizes}")
    by_bin = pd.concat([run.reset_index(drop=True) for run in runs]).groupby(level=0)
    mean = by_bin[["lower", "upper", "confidence", "accuracy"]].mean()
    return mean.assign(
        accuracy_std=by_bin["accuracy"].std(),
        runs=by_bin["accuracy"].count(),
        count=by_bin["count"].sum(),
    )
