"""Calibration error by density estimates."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from graphattn.calibration.outcome import Floats

__all__ = ["kde_error"]

# The grid of the code of Mix-n-Match, which holds the reflections at 0 and 1.
_GRID = np.linspace(-0.6, 1.6, 2**14)
_STEP = float(_GRID[1] - _GRID[0])
_UNIT = (_GRID > 0) & (_GRID < 1)


def kde_error(confidence: Floats, correct: Floats) -> float:
    """See :func:`~graphattn.calibration.kde_calibration_error`.

    Args:
        confidence: Largest probabilities. Shape ``[M]``.
        correct: 1 where a node is right, else 0. Shape ``[M]``.
    """
    right = confidence[correct == 1]
    bandwidth = float(right.std()) * (2 * len(confidence)) ** -0.2 if len(right) else 0.0
    # A triweight kernel has a standard deviation of a third of its reach.
    if 3 * bandwidth < _STEP:
        return float("nan")
    density_right, density = _density(right, bandwidth), _density(confidence, bandwidth)
    known = density > 0
    accuracy = np.minimum(
        np.divide(correct.mean() * density_right, density, out=np.zeros_like(density), where=known),
        1.0,
    )
    gap = np.abs(_GRID - accuracy) * density
    total = float(np.trapezoid(density[_UNIT], _GRID[_UNIT]))
    return float(np.trapezoid(gap[_UNIT], _GRID[_UNIT])) / total


def _density(sample: Floats, bandwidth: float) -> Floats:
    """Density on the grid of a sample in ``[0, 1]``, reflected at 0 and 1."""
    mirrored = np.where(sample < 0.5, -sample, 2 - sample)
    points = (np.concatenate([sample, mirrored]) - _GRID[0]) / _STEP
    below = np.floor(points).astype(np.int64)
    part = points - below
    # Every point is shared by its two neighbours on the grid.
    weights = np.bincount(below, 1 - part, len(_GRID)) + np.bincount(below + 1, part, len(_GRID))
    reach = int(3 * bandwidth / _STEP)
    offset = np.arange(-reach, reach + 1) * _STEP / (3 * bandwidth)
    kernel = 35 / 32 * (1 - offset**2) ** 3 / (3 * bandwidth)
    density: Floats = fftconvolve(weights, kernel, mode="same") / len(sample)
    # The transform leaves noise of rounding where there is nothing.
    return np.where(density > 1e-12, density, 0.0)
