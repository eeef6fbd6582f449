from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from graphattn.calibration.conformal import class_thresholds, conformal_rank, conformal_threshold
from graphattn.calibration.conformal.quantile import weight_needed


def test_rank_is_counted_exactly() -> None:
    for thousandths in range(1, 1000):
        for n in (0, 1, 9, 19, 124, 249, 999, 10**6 + 1):
            exact = math.ceil((n + 1) * (1 - Fraction(thousandths, 1000)))
            assert conformal_rank(n, thousandths / 1000) == exact


def test_rank_of_an_alpha_that_was_computed() -> None:
    assert 1 - 0.9 != 0.1
    assert conformal_rank(9, 1 - 0.9) == conformal_rank(9, 0.1) == 9
    assert conformal_rank(99, 1 - 1e-15) == 1
    assert conformal_rank(99, 1e-15) == 100


def test_needed_weight_of_tensors() -> None:
    totals = torch.tensor([0, 1, 10, 2**31])
    expected = [weight_needed(int(total), 0.123456789) for total in totals]
    assert weight_needed(totals, 0.123456789).tolist() == expected


@pytest.mark.parametrize(("alpha", "least"), [(0.1, 9), (0.05, 19), (0.5, 1)])
def test_too_few_scores(alpha: float, least: int) -> None:
    scores = torch.rand(least).double()
    assert conformal_threshold(scores, alpha) == scores.max()
    assert conformal_threshold(scores[1:], alpha) == math.inf
    assert conformal_threshold(scores[:0], alpha) == math.inf


def test_infinite_and_equal_scores() -> None:
    assert conformal_threshold(torch.tensor([0.5] * 9 + [math.inf] * 10), 0.1) == math.inf
    assert conformal_threshold(torch.full((50,), 0.25), 0.1) == 0.25


def test_classes_by_themselves() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(300, generator=generator)
    y = torch.randint(0, 4, (300,), generator=generator).clamp(max=2)
    y[:3] = 4
    found = class_thresholds(scores, y, 0.1, num_classes=6)
    expected = [conformal_threshold(scores[y == c], 0.1) for c in range(6)]
    assert torch.equal(found, torch.stack(expected))
    assert found.isinf().tolist() == [False, False, False, True, True, True]
    assert class_thresholds(scores[:0], y[:0], 0.1, num_classes=2).isinf().all()


def test_bad_input() -> None:
    scores, y = torch.tensor([0.1, math.nan]), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="'scores' must be numbers, got nan in row 1"):
        conformal_threshold(scores, 0.1)
    with pytest.raises(ValueError, match=r"'scores' must have shape \[n\], got \[1, 2\]"):
        conformal_threshold(scores[None], 0.1)
    with pytest.raises(TypeError, match=r"'scores' must be a floating-point .* got torch.int64"):
        conformal_threshold(y, 0.1)
    with pytest.raises(ValueError, match=r"'y' must lie in \[0, 1\), got 0 to 1"):
        class_thresholds(scores[:1].repeat(2), y, 0.1, num_classes=1)
    with pytest.raises(ValueError, match=r"'y' must have shape \[1\], got \[2\]"):
        class_thresholds(scores[:1], y, 0.1, num_classes=2)
    with pytest.raises(ValueError, match="'n' must be at least 0, got -1"):
        conformal_rank(-1, 0.1)
