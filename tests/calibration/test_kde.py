from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from graphattn.calibration.kde import kde_error


def direct(confidence: np.ndarray, correct: np.ndarray) -> float:
    """The definition, by adaptive integration of exact sums of kernels."""
    reach = 3 * confidence[correct == 1].std() * (2 * len(confidence)) ** -0.2

    def density(x: float, sample: np.ndarray) -> float:
        mirrored = np.concatenate([sample, np.where(sample < 0.5, -sample, 2 - sample)])
        u = np.clip(np.abs(x - mirrored) / reach, 0, 1)
        return float((35 / 32 * (1 - u**2) ** 3 / reach).sum() / len(sample))

    def gap(x: float) -> float:
        whole = density(x, confidence)
        if whole == 0:
            return 0.0
        return (
            abs(x - min(correct.mean() * density(x, confidence[correct == 1]) / whole, 1)) * whole
        )

    total, _ = quad(lambda x: density(x, confidence), 0, 1, limit=400)
    return quad(gap, 0, 1, limit=400)[0] / total


@pytest.mark.parametrize("seed", [0, 1])
def test_against_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, 60)
    correct = (rng.uniform(size=60) < confidence**2).astype(float)
    # The grid may leave out a step at either end.
    assert kde_error(confidence, correct) == pytest.approx(direct(confidence, correct), abs=1e-4)


def test_it_approaches_the_gap_of_a_constant_shift() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 0.9, 200_000)
    correct = (rng.uniform(size=len(confidence)) < confidence - 0.2).astype(float)
    assert kde_error(confidence, correct) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("correct", [np.zeros(4), np.ones(4), np.array([1.0, 0, 0, 0])])
def test_nan_without_a_spread(correct: np.ndarray) -> None:
    assert np.isnan(kde_error(np.full(4, 0.25), correct))


def test_nan_if_nobody_is_right() -> None:
    assert np.isnan(kde_error(np.array([0.4, 0.6, 0.9]), np.zeros(3)))
