"""How far probabilities can be trusted, as numbers.

All take the nodes of ``mask`` (all nodes if it is ``None``), count in ``float64`` and return Python
numbers; nothing has gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from torch import Tensor

from graphattn.calibration.binning import (
    Binning,
    Closed,
    Norm,
    bins_of,
    check_binning,
    place_of,
)
from graphattn.calibration.kde import kde_error
from graphattn.calibration.outcome import Floats, Outcome, outcome_of, outcome_of_logits

__all__ = [
    "MEASURES",
    "accuracy",
    "brier_score",
    "classwise_calibration_error",
    "expected_calibration_error",
    "kde_calibration_error",
    "measure",
    "negative_log_likelihood",
]


def expected_calibration_error(
    probabilities: Tensor,
    y: Tensor,
    num_bins: int = 15,
    *,
    mask: Tensor | None = None,
    bins: Binning = "width",
    closed: Closed = "left",
    norm: Norm = "l1",
) -> float:
    r"""Expected calibration error: the gap between confidence and accuracy, averaged over bins.

    .. math::
        \mathrm{ECE} = \sum_b \frac{n_b}{n} \, g_b, \qquad
        g_b = \left| \frac{1}{n_b} \sum_{i \in b} c_i - \frac{1}{n_b} \sum_{i \in b}
        [\hat{y}_i = y_i] \right|,

    with :math:`c_i` the largest probability of a node. From `"On Calibration of Modern Neural
    Networks" <https://arxiv.org/abs/1706.04599>`_, equation 3. The default are the 15 bins of the
    code of `GATS <https://arxiv.org/abs/2210.06391>`_. The number depends on the bins and is above
    zero even for a perfect classifier, the more so the fewer nodes there are: compare only numbers
    of the same bins and the same nodes.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        num_bins: Number of bins, two at least.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.
        bins: Bins of equal ``"width"``, or of equal ``"mass"``, that is of (almost) equal counts
            of nodes, where the order of nodes decides among equal confidences.
        closed: Whether a confidence on the border of two bins of equal width belongs to the upper
            one (``"left"``, as in the code of GATS) or the lower one (``"right"``, as in the code
            of CaGCN). A confidence of 1 is in the last bin in any case.
        norm: ``"l1"`` as above; ``"squared"`` for the mean of :math:`g_b^2` (norm 2 in the code of
            GATS); ``"l2"`` for its root; ``"max"`` for the largest gap, the maximum calibration
            error.

    Returns:
        The error in ``[0, 1]``.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there are fewer than two bins, a word is not known, there is no node, rows
            are no distributions (logits, for instance), or a class is out of range.

    Note:
        torchmetrics' ``MulticlassCalibrationError`` closes its bins on the left, too, and gives the
        same number, except that a confidence of exactly 1 is in a bin of its own there.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
        >>> round(expected_calibration_error(probabilities, torch.tensor([0, 1, 1])), 4)
        0.4333
    """
    check_binning(num_bins, bins, closed, norm)
    return _ece(outcome_of(probabilities, y, mask), num_bins, bins, closed, norm)


def classwise_calibration_error(
    probabilities: Tensor,
    y: Tensor,
    num_bins: int = 15,
    *,
    mask: Tensor | None = None,
    bins: Binning = "width",
    closed: Closed = "left",
    norm: Norm = "l1",
) -> float:
    """Calibration error of the probability of every class, averaged over all classes.

    A class that no node has counts like any other. From `"Beyond temperature scaling"
    <https://arxiv.org/abs/1910.12656>`_, section 2, with the bins of
    :func:`expected_calibration_error`.

    Args:
        probabilities: See :func:`expected_calibration_error`, as for the rest.
        y: Classes.
        num_bins: Number of bins.
        mask: Nodes that count.
        bins: Kind of bins.
        closed: Side on which a border belongs to a bin.
        norm: How gaps are joined.

    Returns:
        The error in ``[0, 1]``.

    Raises:
        TypeError: See :func:`expected_calibration_error`.
        ValueError: See :func:`expected_calibration_error`.
    """
    check_binning(num_bins, bins, closed, norm)
    return _classwise(outcome_of(probabilities, y, mask), num_bins, bins, closed, norm)


def kde_calibration_error(probabilities: Tensor, y: Tensor, *, mask: Tensor | None = None) -> float:
    r"""Calibration error without bins, by density estimates of the confidence.

    .. math::
        \int_0^1 \left| x - P(\mathrm{correct}) \, \frac{f_\mathrm{correct}(x)}{f(x)} \right|
        f(x) \, dx,

    where :math:`f` is the density of the confidences of all nodes and :math:`f_\mathrm{correct}` of
    those of nodes that are right, by a triweight kernel with reflections at 0 and 1. From
    `"Mix-n-Match" <https://arxiv.org/abs/2003.07329>`_, section 4, as in the code of GATS.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.

    Returns:
        The error in ``[0, 1]``; NaN where the confidences of the nodes that are right (almost) do
        not differ, or there is no such node: the width of the kernel is taken from their spread.

    Raises:
        TypeError: See :func:`expected_calibration_error`.
        ValueError: See :func:`expected_calibration_error`.

    Note:
        The authors' code takes :math:`P(\mathrm{correct})` in ``float32``: results differ by about
        1e-8.
    """
    outcome = outcome_of(probabilities, y, mask)
    return kde_error(outcome.confidence, outcome.correct)


def negative_log_likelihood(logits: Tensor, y: Tensor, *, mask: Tensor | None = None) -> float:
    """Mean cross-entropy. Unlike the other measures it takes logits, so that none is infinite.

    Args:
        logits: Shape ``[N, C]``, ``float16`` to ``float64``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.

    Returns:
        The mean, zero or more.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there is no node, logits are not finite or look like probabilities, or a
            class is out of range.
    """
    return _nll(outcome_of_logits(logits, y, mask))


def brier_score(probabilities: Tensor, y: Tensor, *, mask: Tensor | None = None) -> float:
    r"""Brier score of many classes: the mean of :math:`\sum_k (p_{ik} - [y_i = k])^2`.

    From `"Verification of forecasts expressed in terms of probability"
    <https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2>`_. The sum runs over all
    classes, so that two classes give twice the score that scikit-learn gives to one of them.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.

    Returns:
        The score in ``[0, 2]``.

    Raises:
        TypeError: See :func:`expected_calibration_error`.
        ValueError: See :func:`expected_calibration_error`.
    """
    return _brier(outcome_of(probabilities, y, mask))


def accuracy(probabilities: Tensor, y: Tensor, *, mask: Tensor | None = None) -> float:
    """Share of nodes whose most probable class, the first of equal ones, is the true one.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.

    Returns:
        The share in ``[0, 1]``.

    Raises:
        TypeError: See :func:`expected_calibration_error`.
        ValueError: See :func:`expected_calibration_error`.
    """
    return _accuracy(outcome_of(probabilities, y, mask))


def measure(
    logits: Tensor, y: Tensor, mask: Tensor | None = None, *, num_bins: int = 15
) -> dict[str, float]:
    """All usual measures of a classifier, calibrated or not.

    Args:
        logits: Shape ``[N, C]``, ``float16`` to ``float64``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.
        num_bins: Number of bins of the measures that have some.

    Returns:
        ``"accuracy"``, ``"confidence"`` (the mean of the largest probabilities), ``"nll"``,
        ``"brier"``, ``"ece"`` (bins of equal width, closed on the left), ``"ece_right"`` (closed on
        the right), ``"ece_mass"`` (bins of equal counts), ``"classwise_ece"`` and ``"kde_ece"``;
        the last may be NaN, see :func:`kde_calibration_error`.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there are fewer than two bins, there is no node, logits are not finite or
            look like probabilities, or a class is out of range.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
        >>> found = measure(logits, torch.tensor([0, 0, 0]))
        >>> print(f"{found['accuracy']:.3f} {found['confidence']:.3f} {found['ece']:.3f}")
        0.667 0.855 0.299
    """
    check_binning(num_bins, "width", "left")
    outcome = outcome_of_logits(logits, y, mask)
    return {name: value(outcome, num_bins) for name, value in MEASURES.items()}


def _ece(outcome: Outcome, num_bins: int, bins: Binning, closed: Closed, norm: Norm) -> float:
    place = place_of(outcome.confidence, num_bins, bins, closed)
    return bins_of(place, outcome.confidence, outcome.correct, num_bins).error(norm)


def _classwise(outcome: Outcome, num_bins: int, bins: Binning, closed: Closed, norm: Norm) -> float:
    errors = []
    for number, column in enumerate(outcome.probabilities.T):
        place = place_of(column, num_bins, bins, closed)
        hit = (outcome.y == number).astype(np.float64)
        errors.append(bins_of(place, column, hit, num_bins).error(norm))
    return float(np.mean(errors))


def _nll(outcome: Outcome) -> float:
    return float(-outcome.log_true.mean())


def _brier(outcome: Outcome) -> float:
    return float(brier_parts(outcome).mean())


def brier_parts(outcome: Outcome) -> Floats:
    """The Brier score of every node. Shape ``[M]``."""
    rest = outcome.probabilities.copy()
    rest[np.arange(len(rest)), outcome.y] -= 1
    parts: Floats = (rest**2).sum(axis=1)
    return parts


def _accuracy(outcome: Outcome) -> float:
    return float(outcome.correct.mean())


MEASURES: Mapping[str, Callable[[Outcome, int], float]] = MappingProxyType(
    {
        "accuracy": lambda outcome, _: _accuracy(outcome),
        "confidence": lambda outcome, _: float(outcome.confidence.mean()),
        "nll": lambda outcome, _: _nll(outcome),
        "brier": lambda outcome, _: _brier(outcome),
        "ece": lambda outcome, num_bins: _ece(outcome, num_bins, "width", "left", "l1"),
        "ece_right": lambda outcome, num_bins: _ece(outcome, num_bins, "width", "right", "l1"),
        "ece_mass": lambda outcome, num_bins: _ece(outcome, num_bins, "mass", "left", "l1"),
        "classwise_ece": lambda outcome, num_bins: _classwise(
            outcome, num_bins, "width", "left", "l1"
        ),
        "kde_ece": lambda outcome, _: kde_error(outcome.confidence, outcome.correct),
    }
)
"""The usual measures by name, on an outcome and a number of bins."""
