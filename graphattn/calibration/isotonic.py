"""Isotonic regression."""

from __future__ import annotations

import torch
from sklearn.isotonic import IsotonicRegression
from torch import Tensor
from torch.nn.functional import one_hot
from typing_extensions import override

from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.piecewise import PiecewiseLinear

__all__ = ["IsotonicScaler"]

_SLOPE = 1e-9


class IsotonicScaler(Calibrator):
    r"""One increasing map of the probabilities of all classes (IRM).

    From `"Mix-n-Match: Ensemble and Compositional Methods for Uncertainty Calibration in Deep
    Learning" <https://arxiv.org/abs/2003.07329>`_. A step function is fitted by least squares to
    all pairs of a probability of a validation node and whether the node has that class; between
    steps it is linear. To keep the order of classes, 1e-9 times the probability is added.
    Calibrated logits are the logarithms, whose softmax divides by the sum over classes.

    Results are ``float64`` for any input, since ``float32`` holds no difference of 1e-9. They have
    no gradient. Training nodes are not looked at.

    Example:
        >>> logits, y = torch.tensor([[2.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
        >>> scaler = IsotonicScaler().fit(logits, y, val_mask=torch.ones(4).bool())
        >>> scaler(logits).softmax(dim=1)[0]
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    def __init__(self) -> None:
        super().__init__()
        self.curve = PiecewiseLinear()

    @override
    def reset_parameters(self) -> None:
        """Set the map to the identity."""
        self.curve.reset_parameters()

    @override
    def calibrate(self, prepared: Tensor) -> Tensor:
        """See :meth:`Calibrator.calibrate`; logarithms, in ``float64``."""
        probs = prepared.detach().double().softmax(dim=1)
        mapped = self.curve.at(probs) + _SLOPE * probs
        return mapped.clamp_min(torch.finfo(mapped.dtype).tiny).log()

    @override
    def _fit(
        self, prepared: Tensor, y: Tensor, val_mask: Tensor, train_mask: Tensor | None
    ) -> None:
        probs = prepared[val_mask].double().softmax(dim=1)
        is_class = one_hot(y[val_mask], probs.size(1)).double()
        regression = IsotonicRegression(out_of_bounds="clip")
        regression.fit(probs.flatten().cpu().numpy(), is_class.flatten().cpu().numpy())
        self.curve.set_points(regression.X_thresholds_, regression.y_thresholds_)
