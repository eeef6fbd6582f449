"""What matrix scaling and Dirichlet calibration share: a linear map with ODIR."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_count, check_number
from graphattn.calibration.calibrator import GradientCalibrator
from graphattn.calibration.inputs import check_classes

__all__ = ["AffineScaler"]


class AffineScaler(GradientCalibrator):
    r"""A linear map of ``[N, C]`` to ``[N, C]`` that is drawn to its diagonal (ODIR).

    With weights :math:`\mathbf{A}` and offsets :math:`\mathbf{b}`, added to the loss of the fit is

    .. math::
        \frac{\lambda}{C (C - 1)} \sum_{i \neq j} A_{ij}^2 + \frac{\mu}{C} \sum_i b_i^2

    It starts from the identity; a subclass has its published start.

    Args:
        num_classes: Number of classes :math:`C`.
        off_diagonal: :math:`\lambda`.
        intercept: :math:`\mu`.
        published: Whether to start as the published code.
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.
    """

    preserves_accuracy = False

    def __init__(
        self,
        num_classes: int,
        *,
        off_diagonal: float,
        intercept: float,
        published: bool,
        lr: float,
        weight_decay: float,
        max_epochs: int,
        patience: int,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        check_count("num_classes", num_classes, least=2)
        check_number("off_diagonal", off_diagonal)
        check_number("intercept", intercept)
        self.num_classes = num_classes
        self.off_diagonal = off_diagonal
        self.intercept = intercept
        self.published = published
        self.linear = nn.Linear(num_classes, num_classes)
        self.reset_parameters()

    @override
    def reset_parameters(self) -> None:
        """Set the map to the identity, or to its published start."""
        if self.published:
            self.start_as_published()
        else:
            nn.init.eye_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def start_as_published(self) -> None:
        """Set the map to its published start: the default of a linear layer."""
        self.linear.reset_parameters()

    @override
    def prepare(self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None) -> Tensor:
        """The logits, with their number of classes checked. Shape ``[N, C]``."""
        check_classes(logits, self.num_classes)
        return logits

    @override
    def calibrate(self, prepared: Tensor) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        dtype = prepared.dtype
        return linear(prepared, self.linear.weight.to(dtype), self.linear.bias.to(dtype))

    @override
    def penalty(self) -> Tensor:
        """What keeps the map near its diagonal."""
        weight = self.linear.weight
        off_diagonal = weight - torch.diag(weight.diagonal())
        pairs = self.num_classes * (self.num_classes - 1)
        return (
            self.off_diagonal * off_diagonal.square().sum() / pairs
            + self.intercept * self.linear.bias.square().mean()
        )
