"""Many random divisions into calibration and test nodes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from graphattn._core.checks import check_count, check_seed
from graphattn.calibration.conformal._checks import check_alpha, check_labels
from graphattn.calibration.conformal.measures import coverage_interval
from graphattn.calibration.conformal.quantile import SLACK, conformal_rank

__all__ = ["measure_divisions", "repeat_divisions"]

# Nodes times divisions that are held at once.
_BLOCK_ENTRIES = 2**24


def repeat_divisions(
    scores: Tensor,
    y: Tensor,
    *,
    num_calibration: int,
    alpha: float | Sequence[float] = 0.1,
    repeats: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Divide nodes at random again and again, calibrate on one part and measure on the other.

    One division tells little, see :func:`coverage_interval`. Nodes are sorted by score once, and
    all divisions share it.

    Args:
        scores: Scores of all classes, of nodes whose labels served nothing else; see
            :class:`Score` and :meth:`ConformalPredictor.scores`. Shape ``[M, C]``.
        y: Their classes. Shape ``[M]``.
        num_calibration: Calibration nodes of a division; the other nodes are tested.
        alpha: Share of sets that may miss their class, in ``(0, 1)``; or several, each on the same
            divisions.
        repeats: Number of divisions.
        level: Of the interval.
        seed: Of the divisions.

    Returns:
        A row per ``alpha`` and division with the numbers ``alpha`` and ``division``, ``threshold``,
        the ``coverage``, ``size``, ``singleton_hit_ratio``, ``singleton_ratio``, ``empty_ratio``
        and ``covgap`` of :class:`SetMeasures`, and the ends ``low`` and ``high`` of the interval in
        which ``coverage`` lies with a probability of ``level`` at least.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument has another shape or is out of range, or scores are NaN.

    Example:
        >>> y = torch.arange(200) % 2
        >>> scores = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)).double()
        >>> table = repeat_divisions(scores, y, num_calibration=99, alpha=[0.1, 0.05])
        >>> table.groupby("alpha")["coverage"].mean().round(2).to_dict()
        {0.05: 0.95, 0.1: 0.9}
    """
    alphas = [alpha] if isinstance(alpha, (int, float)) else list(alpha)
    num_nodes = _check_scores(scores, y)
    check_count("num_calibration", num_calibration, most=num_nodes - 1)
    check_count("repeats", repeats)
    check_seed("seed", seed)
    tables = []
    for one in alphas:
        check_alpha(one)
        low, high = coverage_interval(
            num_calibration, num_nodes - num_calibration, one, level=level
        )
        found = measure_divisions(
            scores, y, num_calibration=num_calibration, alpha=one, repeats=repeats, seed=seed
        )
        columns = {name: values.numpy(force=True) for name, values in found.items()}
        names = {"alpha": one, "division": range(repeats)}
        tables.append(pd.DataFrame({**names, **columns, "low": low, "high": high}))
    return pd.concat(tables, ignore_index=True)


def measure_divisions(
    scores: Tensor, y: Tensor, *, num_calibration: int, alpha: float, repeats: int, seed: int
) -> dict[str, Tensor]:
    """The measures of :func:`repeat_divisions` without its checks. Shape ``[repeats]`` each."""
    y = y.long()
    true, order = scores.gather(1, y.unsqueeze(1)).squeeze(1).sort()
    # From here on, a node's number is the rank of its score.
    y, ranked = y[order], scores[order].sort(dim=1).values
    rank = conformal_rank(num_calibration, alpha)
    blocks = []
    for nodes in _draw_calibration(len(y), num_calibration, repeats, seed):
        nodes = nodes.to(y.device)
        if rank > num_calibration:
            threshold = true.new_full((len(nodes),), float("inf"))
        else:
            threshold = true[nodes.sort(dim=1).values[:, rank - 1]]
        tested = torch.ones(len(nodes), len(y), dtype=torch.bool, device=y.device)
        tested.scatter_(1, nodes, False)
        blocks.append(
            {"threshold": threshold, **_measure(ranked, true, y, tested, threshold, alpha)}
        )
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def _draw_calibration(num_nodes: int, n: int, repeats: int, seed: int) -> Iterator[Tensor]:
    """Calibration nodes of several divisions. Shape ``[R, n]``, adding up to ``repeats`` rows."""
    generator = torch.Generator().manual_seed(seed)
    size = max(1, _BLOCK_ENTRIES // num_nodes)
    for first in range(0, repeats, size):
        rows = min(size, repeats - first)
        keys = torch.rand(rows, num_nodes, dtype=torch.float64, generator=generator)
        yield keys.topk(n, dim=1, sorted=False).indices


def _measure(
    ranked: Tensor, true: Tensor, y: Tensor, tested: Tensor, threshold: Tensor, alpha: float
) -> dict[str, Tensor]:
    """Measures over the tested nodes of every division, a row of ``tested``."""
    limit = threshold + SLACK
    covered = tested & (true <= limit.unsqueeze(1))
    # The size of a set is the number of the node's scores, in order, up to the threshold.
    limits = limit.expand(len(true), -1).contiguous()
    size = torch.searchsorted(ranked, limits, right=True).T
    m = tested.sum(dim=1).double()
    counts = {
        "coverage": covered,
        "size": size * tested,
        "singleton_hit_ratio": covered & (size == 1),
        "singleton_ratio": tested & (size == 1),
        "empty_ratio": tested & (size == 0),
    }
    found = {name: values.sum(dim=1) / m for name, values in counts.items()}
    by_class = [
        m.new_zeros(len(m), ranked.size(1)).index_add_(1, y, values.double())
        for values in (covered, tested)
    ]
    gaps = (by_class[0] / by_class[1] - (1 - alpha)).abs()
    return {**found, "covgap": 100 * gaps.nanmean(dim=1)}


def _check_scores(scores: Tensor, y: Tensor) -> int:
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        kind = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(f"'scores' must be a floating-point tensor, got {kind}")
    if scores.dim() != 2 or len(scores) < 2:
        raise ValueError(
            f"'scores' must have shape [M, C] with at least two nodes, got {list(scores.shape)}"
        )
    if bool(scores.isnan().any()):
        row = int(scores.isnan().any(dim=1).nonzero()[0])
        raise ValueError(f"'scores' must be numbers, got {scores[row].tolist()} in row {row}")
    check_labels(y, *scores.shape, scores=scores.new_ones(len(scores), dtype=torch.bool))
    return len(scores)
