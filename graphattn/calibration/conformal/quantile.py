"""The threshold of conformal sets: an exact order statistic of calibration scores."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

import torch
from torch import Tensor

from graphattn._core.checks import check_count
from graphattn.calibration.conformal._checks import check_alpha

__all__ = ["SLACK", "class_thresholds", "conformal_rank", "conformal_threshold", "weight_needed"]

SLACK = 1e-12
"""A class is in a set if its score is at most the threshold plus this.

Without it, rounding would decide on classes whose score equals the threshold, which all last ranks
of non-random APS do.
"""

# Nobody means more digits; and `1 - 0.9`, which is not quite 0.1, becomes 1/10.
_LARGEST_DENOMINATOR = 10**9

Total = TypeVar("Total", int, Tensor)


def conformal_rank(n: int, alpha: float) -> int:
    r"""Rank of the threshold among calibration scores: :math:`\lceil (n + 1)(1 - \alpha) \rceil`.

    Counted in integers: in floating point the rank is one too large for, say, 249 nodes and
    ``alpha=0.172``.

    Args:
        n: Number of calibration nodes.
        alpha: Share of sets that may miss their class, in ``(0, 1)``.

    Returns:
        The rank, from 1 to ``n + 1``; the score of rank ``n + 1`` is infinity.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument is out of range.

    Example:
        >>> conformal_rank(249, 0.172), conformal_rank(9, 0.1), conformal_rank(8, 0.1)
        (207, 9, 9)
    """
    check_count("n", n, least=0)
    check_alpha(alpha)
    return weight_needed(n + 1, alpha)


def weight_needed(total: Total, alpha: float) -> Total:
    r"""The smallest integer that is at least :math:`(1 - \alpha)` of a total, exactly.

    Args:
        total: Whole number, or ``int64`` tensor of whole numbers, below ``2 ** 32``.
        alpha: In ``(0, 1)``.

    Returns:
        Of the kind of ``total``.
    """
    share = Fraction(alpha).limit_denominator(_LARGEST_DENOMINATOR)
    share = min(share, 1 - Fraction(1, _LARGEST_DENOMINATOR))
    return total - total * share.numerator // share.denominator


def conformal_threshold(scores: Tensor, alpha: float) -> Tensor:
    """Threshold that a new score of the same kind exceeds with probability ``alpha`` at most.

    From `"Least Ambiguous Set-Valued Classifiers With Bounded Error Levels"
    <https://arxiv.org/abs/1609.00451>`_: the order statistic of :func:`conformal_rank`. No
    interpolation, and infinity where there are too few scores.

    Args:
        scores: Scores of the true classes of calibration nodes. Shape ``[n]``; may be empty.
        alpha: In ``(0, 1)``; 0.1 needs at least 9 scores, 0.05 at least 19.

    Returns:
        The threshold, in the dtype of the scores; infinity if there are too few. Shape ``[]``.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If ``alpha`` is out of range, or scores have another shape or are NaN.

    Example:
        >>> conformal_threshold(torch.arange(19.0), 0.1)
        tensor(17.)
        >>> conformal_threshold(torch.arange(8.0), 0.1)
        tensor(inf)
    """
    _check_scores(scores)
    rank = conformal_rank(len(scores), alpha)
    if rank > len(scores):
        return scores.new_full((), float("inf"))
    return scores.sort().values[rank - 1]


def class_thresholds(scores: Tensor, y: Tensor, alpha: float, *, num_classes: int) -> Tensor:
    """Threshold of every class by itself, so that sets cover each class (Mondrian conformal).

    Args:
        scores: Scores of the true classes of calibration nodes. Shape ``[n]``.
        y: Their classes. Shape ``[n]``.
        alpha: See :func:`conformal_threshold`, which is applied to the scores of each class.
        num_classes: ``C``.

    Returns:
        The thresholds; infinity for a class with too few nodes. Shape ``[C]``.

    Raises:
        TypeError: See :func:`conformal_threshold`.
        ValueError: See there, or if a class is out of range.

    Example:
        >>> scores, y = torch.arange(20.0), torch.tensor([0] * 19 + [1])
        >>> class_thresholds(scores, y, 0.1, num_classes=3)
        tensor([17., inf, inf])
    """
    _check_scores(scores)
    check_alpha(alpha)
    check_count("num_classes", num_classes)
    if y.shape != scores.shape:
        raise ValueError(f"'y' must have shape {list(scores.shape)}, got {list(y.shape)}")
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise ValueError(f"'y' must lie in [0, {num_classes}), got {y.min()} to {y.max()}")
    order = scores.argsort()
    order = order[y[order].argsort(stable=True)]
    count = torch.bincount(y, minlength=num_classes)
    rank = weight_needed(count + 1, alpha)
    enough = rank <= count
    thresholds = scores.new_full((num_classes,), float("inf"))
    thresholds[enough] = scores[order[(count.cumsum(0) - count + rank - 1)[enough]]]
    return thresholds


def _check_scores(scores: Tensor) -> None:
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        kind = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(f"'scores' must be a floating-point tensor, got {kind}")
    if scores.dim() != 1:
        raise ValueError(f"'scores' must have shape [n], got {list(scores.shape)}")
    if bool(scores.isnan().any()):
        row = int(scores.isnan().nonzero()[0])
        raise ValueError(f"'scores' must be numbers, got nan in row {row}")
