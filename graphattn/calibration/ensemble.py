"""Ensemble temperature scaling."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from typing_extensions import override

from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.temperature import TemperatureScaler

__all__ = ["EnsembleScaler"]

_TOLERANCE = 1e-12


class EnsembleScaler(Calibrator):
    r"""A mixture of tempered, plain and uniform probabilities (ETS).

    .. math::
        \mathbf{p}_i = w_1 \, \mathrm{softmax}(\mathbf{z}_i / T)
        + w_2 \, \mathrm{softmax}(\mathbf{z}_i) + w_3 / C

    From `"Mix-n-Match: Ensemble and Compositional Methods for Uncertainty Calibration in Deep
    Learning" <https://arxiv.org/abs/2003.07329>`_. :math:`T` is that of a
    :class:`TemperatureScaler`; then the weights, none negative and with sum 1, are those with the
    least cross-entropy on validation nodes, found by sequential least squares from ``(1, 0, 0)``.
    Calibrated logits are :math:`\log \mathbf{p}_i`. Only if no weight but :math:`w_3` is left, when
    the classifier says less than nothing, all classes are equally probable.

    Note:
        The authors let the solver estimate gradients from differences; here it is given them, so
        that weights agree to about 1e-6, the accuracy of theirs. Weights are found in ``float64``.

    Args:
        published: See :class:`TemperatureScaler`, as for the rest.
        lr: Learning rate of the temperature.
        weight_decay: Factor of the temperature added to its gradient.
        max_epochs: Number of steps for the temperature at most.
        patience: Steps without a better loss on training nodes after which these end.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> logits, y = torch.tensor([[4.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
        >>> scaler = EnsembleScaler(lr=0.1).fit(logits, y, val_mask=torch.ones(4).bool())
        >>> scaler(logits).softmax(dim=1)[0].detach()
        tensor([0.7500, 0.2500])
    """

    weights: Tensor

    def __init__(
        self,
        *,
        published: bool = False,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__()
        self.scaler = TemperatureScaler(
            published=published,
            lr=lr,
            weight_decay=weight_decay,
            max_epochs=max_epochs,
            patience=patience,
        )
        self.register_buffer("weights", torch.empty(3))
        self.reset_parameters()

    @override
    def reset_parameters(self) -> None:
        """Set the temperature to 1, and the weights to that of the tempered probabilities."""
        self.scaler.reset_parameters()
        self.weights.zero_()[0] = 1.0

    @override
    def calibrate(self, prepared: Tensor) -> Tensor:
        """See :meth:`Calibrator.calibrate`; logarithms of probabilities."""
        parts = self._log_parts(prepared)
        return torch.logsumexp(parts + self.weights.log().view(3, 1, 1), dim=0)

    @override
    def _fit(
        self, prepared: Tensor, y: Tensor, val_mask: Tensor, train_mask: Tensor | None
    ) -> None:
        self.scaler.fit(prepared, y, val_mask=val_mask, train_mask=train_mask)
        with torch.no_grad():
            parts = self._log_parts(prepared[val_mask])
        # [3, M]: logarithm of what each part gives to the class of a node
        parts = parts[:, torch.arange(parts.size(1), device=y.device), y[val_mask]]
        found = _best_weights(parts.double().cpu().numpy())
        self.weights.copy_(torch.from_numpy(found))

    def _log_parts(self, logits: Tensor) -> Tensor:
        """Logarithms of the three probabilities. Shape ``[3, N, C]``."""
        uniform = torch.full_like(logits, -math.log(logits.size(1)))
        tempered = self.scaler.calibrate(logits).log_softmax(dim=1)
        return torch.stack([tempered, logits.log_softmax(dim=1), uniform])


def _best_weights(log_parts: np.ndarray) -> np.ndarray:
    """Weights ``[3]`` of the mixture under which ``[3, M]`` observations are the most probable."""
    largest = log_parts.max(axis=0)
    parts = np.exp(log_parts - largest)
    smallest = np.finfo(parts.dtype).tiny

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(weights @ parts, smallest)
        return -float((np.log(mixed) + largest).mean()), -(parts / mixed).mean(axis=1)

    start = np.array([1.0, 0.0, 0.0])
    if (parts[0] < 1e-100).any():
        # There the slope is out of range, while the mean of the parts is always well inside.
        start = np.full(3, 1 / 3)
    result = minimize(
        loss,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * 3,
        constraints={
            "type": "eq",
            "fun": lambda weights: weights.sum() - 1,
            "jac": lambda weights: np.ones(3),
        },
        tol=_TOLERANCE,
    )
    found: np.ndarray = np.clip(result.x, 0.0, 1.0)
    found = found / found.sum() if np.isfinite(found).all() and found.sum() > 0 else start
    # The solver also ends where rounding leaves it no descent; what it reached there is as good.
    return found if loss(found)[0] <= loss(start)[0] else start
