"""What to measure of conformal sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from scipy import stats
from torch import Tensor
from torch_geometric.typing import Adj

from graphattn._core.checks import check_count
from graphattn.calibration.conformal._checks import check_alpha, check_edges, check_sets
from graphattn.calibration.conformal.quantile import SLACK, conformal_rank

__all__ = [
    "SIZE_RANGES",
    "SetMeasures",
    "coverage_by_group",
    "coverage_by_size",
    "coverage_interval",
    "equal_count_bins",
    "measure_sets",
    "node_homophily",
]

SIZE_RANGES = ((0, 1), (2, 3), (4, 10), (11, 100), (101, 1000))
"""Sizes that are looked at together, both ends included, as usual for SSCV."""


@dataclass(frozen=True)
class SetMeasures:
    """Measures of sets; see :func:`measure_sets`."""

    coverage: float
    """Share of nodes whose set holds the class."""
    size: float
    """Mean number of classes in a set; an empty set counts as 0."""
    singleton_hit_ratio: float
    """Share of all nodes whose set holds the class and nothing else."""
    singleton_ratio: float
    """Share of nodes whose set holds one class."""
    empty_ratio: float
    """Share of nodes whose set is empty."""
    macro_coverage: float
    """Mean over classes that occur of the coverage of their nodes."""
    covgap: float
    """Mean over classes that occur of how far their coverage is from ``1 - alpha``, in percent."""
    violated_classes: int
    """Number of classes that are covered less than promised."""
    sscv: float
    """How far coverage is from ``1 - alpha`` in the worst of the :data:`SIZE_RANGES`."""


def measure_sets(sets: Tensor, y: Tensor, *, alpha: float) -> SetMeasures:
    """Measure sets of nodes whose classes are known.

    Args:
        sets: Whether a class is in the set of a node; only of nodes to be judged, not of those that
            were calibrated or trained on. Shape ``[M, C]``, ``bool``.
        y: Their classes. Shape ``[M]``.
        alpha: Share of sets that may miss their class, in ``(0, 1)``.

    Returns:
        The measures.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument has another shape or is out of range, or there is no node.

    Example:
        >>> sets = torch.tensor([[True, False], [True, True], [False, True], [False, False]])
        >>> measures = measure_sets(sets, torch.tensor([0, 0, 0, 1]), alpha=0.1)
        >>> measures.coverage, measures.size, measures.singleton_hit_ratio
        (0.5, 1.0, 0.25)
    """
    check_alpha(alpha)
    by_class = coverage_by_group(sets, y, y)
    by_size = coverage_by_size(sets, y, ranges=_up_to(SIZE_RANGES, sets.size(1)))
    covered, size = _covered(sets, y), sets.sum(dim=1)
    return SetMeasures(
        coverage=_share(covered),
        size=float(size.double().mean()),
        singleton_hit_ratio=_share(covered & (size == 1)),
        singleton_ratio=_share(size == 1),
        empty_ratio=_share(size == 0),
        macro_coverage=float(by_class["coverage"].mean()),
        covgap=float(100 * (by_class["coverage"] - (1 - alpha)).abs().mean()),
        violated_classes=int((by_class["coverage"] < 1 - alpha - SLACK).sum()),
        sscv=float((by_size["coverage"] - (1 - alpha)).abs().max()),
    )


def coverage_by_group(sets: Tensor, y: Tensor, group: Tensor) -> pd.DataFrame:
    """Coverage and size of sets in groups of nodes.

    Args:
        sets: Shape ``[M, C]``, ``bool``.
        y: Classes. Shape ``[M]``.
        group: Number of the group of every node: its class, its bin of degree or homophily from
            :func:`equal_count_bins`, its distance to the training nodes. Shape ``[M]``.

    Returns:
        A row for every ``group`` that occurs, in their order, with ``nodes``, ``coverage`` and
        ``size``.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument has another shape, a class is out of range, or there is no node.

    Example:
        >>> sets = torch.tensor([[True, False], [True, True], [False, True]])
        >>> coverage_by_group(sets, torch.tensor([0, 0, 0]), torch.tensor([7, 7, 3]))
           group  nodes  coverage  size
        0      3      1       0.0   1.0
        1      7      2       1.0   1.5
    """
    check_sets(sets, y)
    if not isinstance(group, Tensor) or group.is_floating_point() or group.shape != y.shape:
        found = f"{list(group.shape)} {group.dtype}" if isinstance(group, Tensor) else repr(group)
        raise ValueError(f"'group' must hold integers of shape {list(y.shape)}, got {found}")
    table = pd.DataFrame(
        {
            "group": group.numpy(force=True),
            "nodes": 1,
            "coverage": _covered(sets, y).double().numpy(force=True),
            "size": sets.sum(dim=1).numpy(force=True),
        }
    )
    how = {"nodes": "sum", "coverage": "mean", "size": "mean"}
    return table.groupby("group", as_index=False).agg(how)


def coverage_by_size(
    sets: Tensor, y: Tensor, *, ranges: Sequence[tuple[int, int]] = SIZE_RANGES
) -> pd.DataFrame:
    """Coverage of small and large sets: sets shall be large where, and because, it is hard.

    Args:
        sets: Shape ``[M, C]``, ``bool``.
        y: Classes. Shape ``[M]``.
        ranges: Smallest and largest size of each row.

    Returns:
        A row per range with ``least``, ``most``, ``nodes``, ``coverage`` and ``size``, the last two
        NaN where there is no set.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument has another shape, a class is out of range, or there is no node.
    """
    check_sets(sets, y)
    covered, size = _covered(sets, y).double(), sets.sum(dim=1)
    rows = []
    for least, most in ranges:
        inside = (size >= least) & (size <= most)
        means = [float(values[inside].double().mean()) for values in (covered, size)]
        rows.append((least, most, int(inside.sum()), *means))
    return pd.DataFrame(rows, columns=["least", "most", "nodes", "coverage", "size"])


def coverage_interval(n: int, m: int, alpha: float, *, level: float = 0.95) -> tuple[float, float]:
    """Where the coverage of one random division lies, with a probability of ``level`` at least.

    Exact: the number of covered nodes has a beta-binomial law if scores have no ties, whatever the
    classifier. For 500 calibration and 1,000 test nodes one division is several points off often.

    Args:
        n: Number of calibration nodes.
        m: Number of test nodes.
        alpha: Share of sets that may miss their class, in ``(0, 1)``.
        level: In ``(0, 1)``; one minus it is cut off half below, half above.

    Returns:
        The smallest and the largest coverage.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument is out of range.

    Example:
        >>> coverage_interval(500, 1000, 0.1)
        (0.866, 0.93)
    """
    check_count("m", m)
    if not 0 < level < 1:
        raise ValueError(f"'level' must lie between 0 and 1, got {level!r}")
    rank = conformal_rank(n, alpha)
    if rank > n:
        return 1.0, 1.0
    low, high = stats.betabinom.interval(level, m, rank, n + 1 - rank)
    return float(low) / m, float(high) / m


def equal_count_bins(values: Tensor, bins: int) -> Tensor:
    """Number nodes by size of a value, in bins of equally many.

    Args:
        values: Degrees, say. Equal ones stay in the order of nodes and may go to different bins.
            Shape ``[M]``.
        bins: Number of bins, of which the first have one node more where it doesn't come out even.

    Returns:
        The bin of every node, in ``[0, bins)``. Shape ``[M]``.

    Raises:
        TypeError: If ``bins`` is no whole number.
        ValueError: If ``values`` has another shape or a NaN, or fewer entries than ``bins``.

    Example:
        >>> equal_count_bins(torch.tensor([5, 1, 9, 3, 2]), 2)
        tensor([1, 0, 1, 0, 0])
    """
    check_count("bins", bins)
    if values.dim() != 1 or len(values) < bins or bool(values.isnan().any()):
        raise ValueError(
            f"'values' must have shape [M], no nan and at least {bins} entries, got "
            f"{list(values.shape)} with {int(values.isnan().sum())} nan"
        )
    bin_of_place = torch.arange(len(values), device=values.device).tensor_split(bins)
    found = torch.empty_like(values, dtype=torch.int64)
    order = values.argsort(stable=True)
    for number, places in enumerate(bin_of_place):
        found[order[places]] = number
    return found


def node_homophily(edge_index: Adj, y: Tensor) -> Tensor:
    """Share of the neighbours of every node that have its class.

    Args:
        edge_index: The graph; the sources of the edges that enter a node are its neighbours.
            Shape ``[2, E]``.
        y: Classes. Shape ``[N]``.

    Returns:
        The shares, ``float64``; NaN for nodes without a neighbour. Shape ``[N]``.

    Raises:
        ValueError: If a node is out of range.

    Example:
        >>> node_homophily(torch.tensor([[0, 1], [2, 2]]), torch.tensor([1, 0, 1]))
        tensor([   nan,    nan, 0.5000], dtype=torch.float64)
    """
    src, dst = check_edges(edge_index, len(y))
    same = torch.bincount(dst[y[src] == y[dst]], minlength=len(y))
    return same.double() / torch.bincount(dst, minlength=len(y))


def _covered(sets: Tensor, y: Tensor) -> Tensor:
    return sets.gather(1, y.long().unsqueeze(1)).squeeze(1)


def _share(true: Tensor) -> float:
    return float(true.double().mean())


def _up_to(ranges: Sequence[tuple[int, int]], num_classes: int) -> list[tuple[int, int]]:
    """Ranges that reach as far as there are classes."""
    *most, last = ranges
    return [*most, (last[0], max(last[1], num_classes))]
