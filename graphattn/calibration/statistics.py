"""How sure a measure is, and whether one method is better than another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import bootstrap
from scipy.stats import t as student
from torch import Tensor

from graphattn._core.checks import check_choice, check_count, check_seed
from graphattn.calibration.binning import check_binning, place_of
from graphattn.calibration.measures import MEASURES, brier_parts
from graphattn.calibration.outcome import Floats, Ints, Outcome, outcome_of_logits

__all__ = ["Resampling", "bootstrap_intervals", "paired_table"]

Resampling: TypeAlias = Literal["percentile", "basic", "bca"]

_USUAL = ("accuracy", "nll", "brier", "ece", "classwise_ece")
_DRAWN_AT_ONCE = 5_000_000
_COLUMNS = ("run", "method", "measure", "value")


def bootstrap_intervals(
    logits: Tensor,
    y: Tensor,
    mask: Tensor | None = None,
    *,
    measures: Sequence[str] = _USUAL,
    level: float = 0.95,
    method: Resampling = "basic",
    num_resamples: int = 1000,
    num_bins: int = 15,
    seed: int = 0,
) -> pd.DataFrame:
    """Measures of one run with confidence intervals, by drawing its nodes anew.

    An interval says how much a measure would change with other nodes to measure on; it knows
    nothing of another training run or split, and takes nodes as independent, which neighbours are
    not quite.

    Args:
        logits: Shape ``[N, C]``, ``float16`` to ``float64``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.
        measures: Names, see :func:`~graphattn.calibration.measure`.
        level: Share of intervals that shall hold the true value, in ``(0, 1)``.
        method: How an interval is made of the measures of the drawn nodes: their quantiles mirrored
            at the measure (``"basic"``), the quantiles themselves (``"percentile"``), or quantiles
            corrected for bias and skewness (``"bca"``), which measures once more without each
            single node and can be slow on large graphs.
        num_resamples: Number of draws.
        num_bins: Number of bins of the measures that have some.
        seed: Seed of the draws.

    Returns:
        One row per measure: ``measure``, ``value``, ``low`` and ``high``; NaN of a measure that is
        not defined.

    Raises:
        TypeError: See :func:`~graphattn.calibration.measure`.
        ValueError: If a measure is not known, a setting is out of its range, or see
            :func:`~graphattn.calibration.measure`.

    Note:
        A calibration error is too large by what chance adds to the gap of every bin, and a draw
        adds as much again: of a small error of many bins, most draws lie above it. ``"percentile"``
        then holds the true value hardly ever; ``"basic"`` takes the addition off twice, so that the
        measured value may lie above its own interval, whose ends are not let below 0, and still
        misses more often than ``level`` says; ``"bca"`` has no answer where all draws lie on one
        side, which is NaN with a warning of scipy. For means (accuracy, likelihood, Brier score)
        all three are right. To compare two methods, use :func:`paired_table`.
    """
    for name in measures:
        check_choice("measures", name, tuple(MEASURES))
    check_level(level)
    check_choice("method", method, ("percentile", "basic", "bca"))
    check_count("num_resamples", num_resamples, least=2)
    check_binning(num_bins, "width", "left")
    check_seed("seed", seed)
    outcome = outcome_of_logits(logits, y, mask)
    rows = np.arange(len(outcome.y))
    if len(rows) < 2:
        raise ValueError("'mask' must have at least two nodes to draw from, got 1")
    found = []
    for name in measures:
        statistic = _statistic(name, outcome, num_bins)
        value = statistic(rows)
        if np.isnan(value):
            found.append((name, value, value, value))
            continue
        interval = bootstrap(
            (rows,),
            statistic,
            vectorized=False,
            # All draws at once would need memory for nodes times draws, or nodes times nodes.
            batch=max(1, _DRAWN_AT_ONCE // len(rows)),
            n_resamples=num_resamples,
            confidence_level=level,
            method="BCa" if method == "bca" else method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        found.append((name, value, _raised(interval.low), _raised(interval.high)))
    return pd.DataFrame(found, columns=["measure", "value", "low", "high"])


def paired_table(
    frame: pd.DataFrame,
    *,
    baseline: str | None = None,
    level: float = 0.95,
    num_resamples: int = 9999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare methods run by run.

    Runs differ more than methods do; differences within runs show what means side by side hide.

    Args:
        frame: One row per run, method and measure, in the columns ``run``, ``method``, ``measure``
            and ``value``; other columns are not looked at.
        baseline: Method that all others are compared with; all pairs if ``None``.
        level: Share of intervals that shall hold the true difference, in ``(0, 1)``.
        num_resamples: Number of draws of runs.
        seed: Seed of the draws.

    Returns:
        One row per measure and pair: ``measure``, ``method``, ``other``, ``runs`` (their number),
        ``difference`` (mean of method minus other), ``std`` (sample standard deviation of the
        differences), ``t_low`` and ``t_high`` (Student's interval, right for differences that are
        about normal), ``boot_low`` and ``boot_high`` (quantiles of means of runs drawn anew), and
        ``below`` and ``above`` (numbers of runs in which the method has the smaller or the larger
        value). A single run has no intervals: NaN.

    Raises:
        ValueError: If a column is missing, there are fewer than two methods, the baseline is not
            one of them, a run has a method or measure twice or lacks it, a value is not finite, or
            a setting is out of its range.

    Note:
        Both intervals take runs as independent. Runs on the same split are not: join them first,
        ``frame.groupby(["split", "method", "measure"], as_index=False)["value"].mean()``, and use
        the split as run.

    Example:
        >>> frame = pd.DataFrame(
        ...     [(0, "TS", "ece", 0.30), (0, "GATS", "ece", 0.28),
        ...      (1, "TS", "ece", 0.50), (1, "GATS", "ece", 0.46)],
        ...     columns=["run", "method", "measure", "value"],
        ... )
        >>> paired_table(frame, baseline="TS")[["method", "other", "runs", "difference", "below"]]
          method other  runs  difference  below
        0   GATS    TS     2       -0.03      2
    """
    check_level(level)
    check_count("num_resamples", num_resamples, least=2)
    check_seed("seed", seed)
    missing = [column for column in _COLUMNS if column not in frame]
    if missing:
        raise ValueError(
            f"'frame' must have the columns {list(_COLUMNS)}, got none named {missing}"
        )
    methods = list(dict.fromkeys(frame["method"]))
    if len(methods) < 2:
        raise ValueError(f"'frame' must have at least two methods, got {methods}")
    if baseline is None:
        pairs = list(combinations(methods, 2))
    else:
        check_choice("baseline", baseline, methods)
        pairs = [(method, baseline) for method in methods if method != baseline]
    rows = []
    for measure, part in frame.groupby("measure", sort=False):
        by_run = _by_run(part, str(measure), methods)
        for method, other in pairs:
            difference = (by_run[method] - by_run[other]).to_numpy(dtype=np.float64)
            rows.append(
                {
                    "measure": measure,
                    "method": method,
                    "other": other,
                    "runs": len(difference),
                    **_summary(difference, level, num_resamples, seed),
                }
            )
    return pd.DataFrame(rows)


def check_level(level: float) -> None:
    """Check the level of an interval.

    Raises:
        ValueError: If it is not between 0 and 1.
    """
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise ValueError(f"'level' must lie between 0 and 1, got {level!r}")


def _statistic(name: str, outcome: Outcome, num_bins: int) -> Callable[[Ints], float]:
    """A measure of the nodes in some rows.

    Most measures put nodes into cells, once and for all, and are sums over cells of absolute sums
    over nodes, which is quick for many draws.
    """
    cells = _cells(name, outcome, num_bins)
    if cells is None:
        return lambda drawn: MEASURES[name](outcome.take(drawn.astype(np.int64)), num_bins)
    place, part = cells

    def statistic(drawn: Ints) -> float:
        drawn = drawn.astype(np.int64)
        sums = np.bincount(place[drawn].ravel(), part[drawn].ravel())
        return float(np.abs(sums).sum() / (len(drawn) * part.shape[1]))

    return statistic


def _cells(name: str, outcome: Outcome, num_bins: int) -> tuple[Ints, Floats] | None:
    """Cells of nodes and what they add, shape ``[M, K]``; ``None`` of a measure without."""
    confidence, correct = outcome.confidence, outcome.correct
    of_one_cell = {
        "accuracy": correct,
        "confidence": confidence,
        "nll": -outcome.log_true,
        "brier": brier_parts(outcome),
    }
    if name in of_one_cell:
        part = of_one_cell[name][:, np.newaxis]
        return np.zeros(part.shape, dtype=np.int64), part
    if name in ("ece", "ece_right"):
        place = place_of(confidence, num_bins, "width", "right" if name == "ece_right" else "left")
        return place[:, np.newaxis], (confidence - correct)[:, np.newaxis]
    if name == "classwise_ece":
        p = outcome.probabilities
        numbers = np.arange(p.shape[1])
        place = place_of(p.ravel(), num_bins, "width", "left").reshape(p.shape)
        return place + num_bins * numbers, p - (outcome.y[:, np.newaxis] == numbers)
    return None


def _raised(end: float) -> float:
    """An end of an interval of a measure, of which none is negative; NaN stays."""
    return 0.0 if end < 0 else float(end)


def _by_run(part: pd.DataFrame, measure: str, methods: list[str]) -> pd.DataFrame:
    """Values of one measure with a row per run and a column per method."""
    twice = part.duplicated(["run", "method"])
    if twice.any():
        row = part[twice].iloc[0]
        raise ValueError(
            f"'frame' must have one {measure!r} of every run and method, got two of run "
            f"{row['run']} and method {row['method']!r}"
        )
    wrong = ~np.isfinite(part["value"].to_numpy(dtype=np.float64))
    if wrong.any():
        row = part[wrong].iloc[0]
        raise ValueError(
            f"'frame' must have finite values, got {row['value']} as {measure!r} of run "
            f"{row['run']} and method {row['method']!r}"
        )
    by_run = part.pivot(index="run", columns="method", values="value").reindex(columns=methods)
    lacking = np.argwhere(by_run.isna().to_numpy())
    if len(lacking):
        run, method = by_run.index[lacking[0, 0]], methods[lacking[0, 1]]
        raise ValueError(
            f"'frame' must have {measure!r} of every run and method, got none of run {run} and "
            f"method {method!r}"
        )
    return by_run


def _summary(
    difference: Floats, level: float, num_resamples: int, seed: int
) -> dict[str, float | int]:
    count, mean = len(difference), float(difference.mean())
    if count > 1:
        std = float(difference.std(ddof=1))
        reach = float(student.ppf((1 + level) / 2, count - 1)) * std / count**0.5
        drawn = bootstrap(
            (difference,),
            np.mean,
            n_resamples=num_resamples,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(drawn.low), float(drawn.high)
    else:
        std = reach = low = high = float("nan")
    return {
        "difference": mean,
        "std": std,
        "t_low": mean - reach,
        "t_high": mean + reach,
        "boot_low": low,
        "boot_high": high,
        "below": int((difference < 0).sum()),
        "above": int((difference > 0).sum()),
    }
