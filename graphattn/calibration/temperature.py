"""Temperature scaling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphattn.calibration.calibrator import GradientCalibrator

__all__ = ["TemperatureScaler"]


class TemperatureScaler(GradientCalibrator):
    r"""One temperature for all nodes: :math:`\mathbf{z}_i / T`.

    From `"On Calibration of Modern Neural Networks" <https://arxiv.org/abs/1706.04599>`_, fitted as
    in the code of `GATS <https://arxiv.org/abs/2210.06391>`_.

    Args:
        lr: Learning rate.
        weight_decay: Factor of the parameter added to its gradient.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Example:
        >>> logits, y = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 0, 1])
        >>> scaler = TemperatureScaler(lr=0.1).fit(logits, y, val_mask=torch.ones(3).bool())
        >>> scaler(logits).softmax(dim=1)[0]
        tensor([0.6667, 0.3333], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        *,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        self.temperature = nn.Parameter(torch.ones(1))

    def reset_parameters(self) -> None:
        """Set the temperature to 1."""
        nn.init.ones_(self.temperature)

    def calibrate(self, prepared: Tensor) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        return prepared / self.temperature
