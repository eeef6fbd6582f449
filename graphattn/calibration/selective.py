"""Selective classification: the error rate when a classifier may keep silent where it is unsure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from graphattn._core.checks import check_choice, check_probability

__all__ = ["RiskCoverage", "risk_coverage"]


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The curve of :func:`risk_coverage`, and what is read off it."""

    coverage: Tensor
    """Shares of nodes that are answered, ``1 / M`` to 1. Shape ``[M]``, ``float64``."""
    risk: Tensor
    """Error rate among these, the most confident ones. Shape ``[M]``, ``float64``."""

    @property
    def aurc(self) -> float:
        """Area under the curve: the mean risk over all coverages."""
        return float(self.risk.mean())

    @property
    def least_aurc(self) -> float:
        r"""Area if all errors came last: :math:`\frac{1}{M} \sum_k \max(0, k - (M - e)) / k`.

        Exact for the :math:`e` errors there are; :math:`r + (1 - r) \ln(1 - r)`, which others take
        for it at the error rate :math:`r`, is its limit for many nodes.
        """
        num_nodes = len(self.risk)
        errors = round(float(self.risk[-1]) * num_nodes)
        k = torch.arange(1, num_nodes + 1, dtype=torch.float64)
        return float(((k - (num_nodes - errors)).clamp(min=0) / k).mean())

    @property
    def e_aurc(self) -> float:
        """Excess area: :attr:`aurc` minus :attr:`least_aurc`."""
        return self.aurc - self.least_aurc

    def risk_at(self, coverage: float) -> float:
        """Risk when at least this share of nodes, above 0, is answered.

        Raises:
            TypeError: If ``coverage`` is no number.
            ValueError: If it is not in ``(0, 1]``.
        """
        check_probability("coverage", coverage)
        if coverage == 0:
            raise ValueError("'coverage' must be above 0, got 0")
        # As the decimal number it was meant to be: 0.9 * 30 nodes are 27, not 28.
        k = math.ceil(Fraction(coverage).limit_denominator(10**9) * len(self.risk))
        return float(self.risk[max(k, 1) - 1])

    def coverage_at(self, risk: float) -> float:
        """The largest share of nodes that can be answered at this risk or less; 0 if there is none.

        Raises:
            TypeError: If ``risk`` is no number.
            ValueError: If it is not in ``[0, 1]``.
        """
        check_probability("risk", risk)
        kept = (self.risk <= risk).nonzero()
        return float(self.coverage[kept[-1, 0]]) if len(kept) else 0.0


def risk_coverage(
    confidence: Tensor, correct: Tensor, *, ties: Literal["expected", "in order"] = "expected"
) -> RiskCoverage:
    r"""Error rate among the most confident nodes, for every number of them.

    From `"Selective Classification for Deep Neural Networks" <https://arxiv.org/abs/1705.08500>`_,
    and for the areas `"Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers"
    <https://arxiv.org/abs/1805.08206>`_:

    .. math::
        \mathrm{risk}(k) = \frac{1}{k} \sum_{i : \mathrm{rank}(i) \le k} e_i

    Args:
        confidence: How sure the classifier is, on any scale; the largest probability as a rule.
            Shape ``[M]``.
        correct: Whether it is right. Shape ``[M]``, ``bool`` or zeros and ones.
        ties: Among equally confident nodes the risk is ``"expected"`` over their random order; or
            they are taken ``"in order"``, which makes the result depend on how nodes are numbered.

    Returns:
        The curve, on the CPU.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If shapes differ, there is no node, or a value is NaN or out of range.

    Example:
        >>> curve = risk_coverage(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 1, 0, 1]))
        >>> curve.risk
        tensor([0.0000, 0.0000, 0.3333, 0.2500], dtype=torch.float64)
        >>> curve.risk_at(0.5), curve.coverage_at(0.3)
        (0.0, 1.0)
    """
    check_choice("ties", ties, ("expected", "in order"))
    _check(confidence, correct)
    ranked, order = confidence.cpu().sort(descending=True, stable=True)
    errors = 1 - correct.cpu()[order].double()
    if ties == "expected":
        block = torch.zeros_like(order)
        block[1:] = (ranked[1:] != ranked[:-1]).cumsum(0)
        size = torch.bincount(block)
        wrong = errors.new_zeros(len(size)).index_add_(0, block, errors)
        errors = (wrong / size)[block]
    k = torch.arange(1, len(errors) + 1, dtype=torch.float64)
    return RiskCoverage(coverage=k / len(errors), risk=errors.cumsum(0) / k)


def _check(confidence: Tensor, correct: Tensor) -> None:
    for name, value in (("confidence", confidence), ("correct", correct)):
        if not isinstance(value, Tensor):
            raise TypeError(f"'{name}' must be a tensor, got {type(value).__name__}")
    if confidence.dim() != 1 or len(confidence) == 0:
        raise ValueError(
            f"'confidence' must have shape [M] with at least one node, got {list(confidence.shape)}"
        )
    if correct.shape != confidence.shape:
        raise ValueError(
            f"'correct' must have shape {list(confidence.shape)}, got {list(correct.shape)}"
        )
    if bool(confidence.isnan().any()):
        row = int(confidence.isnan().nonzero()[0])
        raise ValueError(f"'confidence' must be numbers, got nan in row {row}")
    if not bool(((correct == 0) | (correct == 1)).all()):
        wrong = correct[(correct != 0) & (correct != 1)][0]
        raise ValueError(f"'correct' must be zeros and ones, got {wrong.item()}")
