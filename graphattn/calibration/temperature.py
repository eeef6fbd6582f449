"""Temperature scaling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from graphattn.calibration.calibrator import GradientCalibrator

__all__ = ["TemperatureScaler"]


class TemperatureScaler(GradientCalibrator):
    r"""One temperature for all nodes: :math:`\mathbf{z}_i / T`.

    From `"On Calibration of Modern Neural Networks" <https://arxiv.org/abs/1706.04599>`_.

    Note:
        One number can't be overfitted, and its loss has one minimum, which is found. The
        code of `GATS <https://arxiv.org/abs/2210.06391>`_ stops by the loss on training nodes,
        which of a classifier that knows them by heart ends where it began: such a classifier stays
        as it was. ``published=True`` is their form.

    Args:
        published: Take steps of Adam, and stop by the loss on training nodes.
        lr: Learning rate of these steps.
        weight_decay: Factor of the parameter added to its gradient in these steps.
        max_epochs: Number of these steps at most.
        patience: Steps without a better loss on training nodes after which they end.

    Example:
        >>> logits, y = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 0, 1])
        >>> scaler = TemperatureScaler().fit(logits, y, val_mask=torch.ones(3).bool())
        >>> scaler(logits).softmax(dim=1)[0]
        tensor([0.6667, 0.3333], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        *,
        published: bool = False,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        self.published = published
        self.temperature = nn.Parameter(torch.ones(1))

    def reset_parameters(self) -> None:
        """Set the temperature to 1."""
        nn.init.ones_(self.temperature)

    def calibrate(self, prepared: Tensor) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        return prepared / self.temperature

    @override
    def _fit(
        self, prepared: Tensor, y: Tensor, val_mask: Tensor, train_mask: Tensor | None
    ) -> None:
        if self.published:
            super()._fit(prepared, y, val_mask, train_mask)
            return
        logits, y = prepared[val_mask], y[val_mask]
        log = torch.zeros_like(self.temperature, requires_grad=True)  # positive, whatever the step
        optimizer = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(logits / log.exp(), y)
            torch.autograd.backward(loss)
            return loss

        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.temperature.copy_(log.exp())
