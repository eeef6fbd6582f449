"""Calibration by splines."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor
from typing_extensions import override

from graphattn._core.checks import check_count
from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.piecewise import PiecewiseLinear

__all__ = ["SplineScaler"]

_LEAD = 1e-5


class SplineScaler(Calibrator):
    r"""A new confidence in the most probable class, from the slope of a spline.

    From `"Calibration of Neural Networks using Splines" <https://arxiv.org/abs/2006.12800>`_, as in
    the code of `GATS <https://arxiv.org/abs/2210.06391>`_. Validation nodes are sorted by their
    confidence; a natural cubic spline with evenly spaced knots is fitted by least squares to the
    sum of (right - confidence) over the first nodes, as a function of their share. Its slope is how
    far accuracy lies above confidence there; between nodes the new confidence is linear, before the
    first and after the last level. The other classes share the rest in their old proportions.

    Results have no gradient. Training nodes are not looked at.

    Note:
        In the published code a new confidence can reach 1, where a single wrong node costs a
        cross-entropy of 708, and can fall below that of the next class, which becomes the most
        probable; beyond the validation nodes it follows the line through the last two; nodes of
        the same confidence count as one, as many as they are; and the sums begin at the first
        node, so that a few nodes say nothing. ``published=True`` is that form. Else a confidence is
        at most :math:`n / (n + 1)` with :math:`n` validation nodes, stays level beyond them, each
        node counts, sums begin at 0 before the first, there are no more knots than sums, and the
        most probable class keeps a lead of 1e-5 before the next, unless both were equal.

    Args:
        knots: Number of knots, the two ends among them.
        published: Whether to take the form of the published code, which does not preserve
            accuracy.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If there are fewer than two knots.

    Example:
        >>> logits, y = torch.tensor([[2.0, 0.0]]).repeat(4, 1), torch.tensor([0, 1, 0, 1])
        >>> scaler = SplineScaler(knots=2).fit(logits, y, val_mask=torch.ones(4).bool())
        >>> bool(scaler(logits).softmax(dim=1)[0, 0] < logits.softmax(dim=1)[0, 0])
        True
    """

    def __init__(self, *, knots: int = 7, published: bool = False) -> None:
        super().__init__()
        check_count("knots", knots, least=2)
        self.knots = knots
        self.published = published
        self.preserves_accuracy = not published
        self.curve = PiecewiseLinear()

    @override
    def reset_parameters(self) -> None:
        """Set the new confidence to the old."""
        self.curve.reset_parameters()

    @override
    def calibrate(self, prepared: Tensor) -> Tensor:
        """See :meth:`Calibrator.calibrate`; logarithms of probabilities."""
        probs = prepared.detach().double().softmax(dim=1)
        old, top = probs.max(dim=1, keepdim=True)
        others = probs.scatter(1, top, 0.0)
        # Summed, since 1 - old would lose all digits next to 1.
        rest = others.sum(dim=1, keepdim=True)
        even = torch.full_like(others, 1 / (others.size(1) - 1)).scatter(1, top, 0.0)
        shares = torch.where(rest > 0, others / rest, even)
        new = self.curve.at(old)
        if not self.published:
            next_ = shares.amax(dim=1, keepdim=True)
            least = next_ / (1 + next_)
            is_tied = others.amax(dim=1, keepdim=True) == old
            new = torch.where(is_tied, least, torch.maximum(new, least + _LEAD))
        new = new.clamp(0.0, 1.0)
        mixed = (shares * (1 - new)).scatter(1, top, new)
        smallest = torch.finfo(prepared.dtype).tiny
        return mixed.clamp_min(smallest).log().to(prepared.dtype)

    @override
    def _fit(
        self, prepared: Tensor, y: Tensor, val_mask: Tensor, train_mask: Tensor | None
    ) -> None:
        confidence, top = prepared[val_mask].double().softmax(dim=1).max(dim=1)
        is_right = (top == y[val_mask]).double().cpu().numpy()
        x, group, counts = np.unique(
            confidence.cpu().numpy(), return_inverse=True, return_counts=True
        )
        accuracy = np.bincount(group, weights=is_right) / counts
        if self.published:
            counts = np.ones_like(counts)
        # Of equal confidences each has the accuracy of all, so that their order does not matter.
        gaps = np.repeat(accuracy - x, counts)
        sums = gaps.cumsum() / len(gaps)
        if self.published:
            slopes = _slope(sums, self.knots)
        else:
            sums = np.concatenate([[0.0], sums])
            slopes = _slope(sums, min(self.knots, len(sums)))[1:]
        starts = counts.cumsum() - counts
        new = x + np.add.reduceat(slopes, starts) / counts
        if self.published:
            x, new = _extended(x, new)
        else:
            new = new.clip(0.0, len(gaps) / (len(gaps) + 1))
        self.curve.set_points(x, new)


def _slope(values: np.ndarray, knots: int) -> np.ndarray:
    """Slope, at evenly spaced places in ``[0, 1]``, of the spline nearest to the values there."""
    places = np.linspace(0.0, 1.0, len(values))
    # Natural splines with 1 at one knot and 0 at the others: a basis of all of them.
    basis = CubicSpline(np.linspace(0.0, 1.0, knots), np.eye(knots), bc_type="natural")
    at_knots = np.linalg.lstsq(basis(places), values, rcond=None)[0]
    slope: np.ndarray = basis(places, 1) @ at_knots
    return slope


def _extended(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points with the lines through the first and the last two drawn on to 0 and 1."""
    if len(x) == 1:
        return x, y
    slopes = np.diff(y) / np.diff(x)
    first, last = y[0] - slopes[0] * x[0], y[-1] + slopes[-1] * (1 - x[-1])
    return np.concatenate([[0.0], x, [1.0]]), np.concatenate([[first], y, [last]])
