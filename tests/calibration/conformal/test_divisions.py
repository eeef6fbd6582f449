from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from graphattn.calibration.conformal import (
    APS,
    THR,
    conformal_rank,
    conformal_threshold,
    divisions,
    measure_sets,
    repeat_divisions,
)
from graphattn.calibration.conformal.quantile import SLACK

MEASURES = ("coverage", "size", "singleton_hit_ratio", "singleton_ratio", "empty_ratio", "covgap")


def problem(num_nodes: int, num_classes: int = 4) -> tuple[Tensor, Tensor]:
    """Scores of logits that are right more often than not, and classes."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, num_classes, (num_nodes,), generator=generator)
    noise = torch.randn(num_nodes, num_classes, generator=generator, dtype=torch.float64)
    logits = 2 * torch.nn.functional.one_hot(y, num_classes) + noise
    return APS()(logits, torch.rand(num_nodes, generator=generator)), y


@pytest.mark.parametrize("num_calibration", [8, 60])
def test_one_by_one(num_calibration: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(divisions, "_BLOCK_ENTRIES", 500)  # four divisions at once
    scores, y = problem(120)
    table = repeat_divisions(
        scores, y, num_calibration=num_calibration, alpha=[0.1, 0.3], repeats=10, seed=5
    )
    assert len(table) == 20
    order = scores[torch.arange(120), y].argsort()
    drawn = torch.cat(list(divisions._draw_calibration(120, num_calibration, 10, 5)))
    for row in table.to_dict("records"):
        cal = torch.zeros(120, dtype=torch.bool)
        cal[order[drawn[row["division"]]]] = True
        assert int(cal.sum()) == num_calibration
        true = scores[cal].gather(1, y[cal, None]).squeeze(1)
        threshold = conformal_threshold(true, row["alpha"])
        assert row["threshold"] == float(threshold)
        measures = measure_sets(scores[~cal] <= threshold + SLACK, y[~cal], alpha=row["alpha"])
        for name in MEASURES:
            assert row[name] == pytest.approx(getattr(measures, name))


@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_coverage_follows_its_law(alpha: float) -> None:
    n, m, repeats = 300, 500, 3000
    scores, y = problem(n + m)
    table = repeat_divisions(scores, y, num_calibration=n, alpha=alpha, repeats=repeats)
    rank = conformal_rank(n, alpha)
    law = stats.betabinom(m, rank, n + 1 - rank)
    covered = (table["coverage"] * m).round().astype(int)
    error = law.std() / math.sqrt(repeats)
    assert abs(covered.mean() - law.mean()) < 4 * error
    inside = ((table["low"] <= table["coverage"]) & (table["coverage"] <= table["high"])).sum()
    assert inside >= stats.binom.ppf(1e-4, repeats, 0.95)
    edges = np.unique(law.ppf(np.linspace(0, 1, 11)[1:-1]))
    shares = np.diff(np.concatenate([[0], law.cdf(edges), [1]]))
    counts = np.bincount(np.searchsorted(edges, covered), minlength=len(edges) + 1)
    assert stats.chisquare(counts, shares * repeats).pvalue > 1e-4


def test_seed_and_divisions_shared_by_levels() -> None:
    scores, y = problem(100)
    settings = {"num_calibration": 50, "repeats": 5}
    both = repeat_divisions(scores, y, alpha=[0.2, 0.1], seed=1, **settings)
    one = repeat_divisions(scores, y, alpha=0.1, seed=1, **settings)
    assert both[both["alpha"] == 0.1]["coverage"].tolist() == one["coverage"].tolist()
    other = repeat_divisions(scores, y, alpha=0.1, seed=2, **settings)
    assert other["threshold"].tolist() != one["threshold"].tolist()


def test_too_few_calibration_nodes() -> None:
    scores, y = problem(50)
    table = repeat_divisions(scores, y, num_calibration=8, repeats=3)
    assert (table["threshold"] == math.inf).all()
    assert (table[["coverage", "low", "high"]] == 1).all(axis=None)
    assert (table["size"] == 4).all()


def test_bad_input() -> None:
    scores, y = problem(20)
    with pytest.raises(ValueError, match="'num_calibration' must be at most 19, got 20"):
        repeat_divisions(scores, y, num_calibration=20)
    with pytest.raises(ValueError, match=r"'scores' must be numbers, got .* in row 0"):
        repeat_divisions(scores / 0 * 0, y, num_calibration=10)
    with pytest.raises(ValueError, match=r"'scores' must have shape \[M, C\] .* got \[20\]"):
        repeat_divisions(scores[:, 0], y, num_calibration=10)
    with pytest.raises(TypeError, match=r"'scores' must be a floating-point .* got torch.int64"):
        repeat_divisions(y[:, None], y, num_calibration=10)
    with pytest.raises(ValueError, match=r"'y' must lie in \[0, 4\) on 'scores', got 4"):
        repeat_divisions(scores, y.clamp(min=3) + 1, num_calibration=10)
    with pytest.raises(ValueError, match=r"'alpha'.* got 1"):
        repeat_divisions(scores, y, num_calibration=10, alpha=[0.1, 1])


@pytest.mark.slow
def test_a_million_nodes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1_000_000, 40, generator=generator)
    y = torch.randint(0, 40, (1_000_000,), generator=generator)
    start = time.perf_counter()
    repeat_divisions(THR()(logits), y, num_calibration=1000, repeats=10)
    assert time.perf_counter() - start < 60
