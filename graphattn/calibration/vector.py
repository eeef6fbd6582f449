"""Vector scaling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_count
from graphattn.calibration.calibrator import GradientCalibrator
from graphattn.calibration.inputs import check_classes

__all__ = ["VectorScaler"]


class VectorScaler(GradientCalibrator):
    r"""A factor and an offset for every class: :math:`\mathbf{z}_i \odot \mathbf{w} + \mathbf{b}`.

    From `"On Calibration of Modern Neural Networks" <https://arxiv.org/abs/1706.04599>`_, fitted as
    in the code of `GATS <https://arxiv.org/abs/2210.06391>`_. The most probable class can change.

    Note:
        In the code of GATS the offset starts at 1 and is not given to the optimiser, so that it has
        no effect and only factors are learned. ``published=True`` is that form; else the offset
        starts at 0 and is learned.

    Args:
        num_classes: Number of classes :math:`C`.
        published: Whether the offset stays at 1 as in the published code.
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> logits, y = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1, 1])
        >>> scaler = VectorScaler(2, lr=0.1).fit(logits, y, val_mask=torch.ones(3).bool())
        >>> scaler(logits).softmax(dim=1)[0].detach()
        tensor([0.3333, 0.6667])
    """

    preserves_accuracy: bool = False

    def __init__(
        self,
        num_classes: int,
        *,
        published: bool = False,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        check_count("num_classes", num_classes, least=2)
        self.num_classes = num_classes
        self.published = published
        self.weight = nn.Parameter(torch.empty(num_classes))
        self.bias = nn.Parameter(torch.empty(num_classes), requires_grad=not published)
        self.reset_parameters()

    @override
    def reset_parameters(self) -> None:
        """Set the factors to 1 and the offsets to 0, or 1 in the published form."""
        nn.init.ones_(self.weight)
        nn.init.constant_(self.bias, float(self.published))

    @override
    def prepare(self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None) -> Tensor:
        """The logits, with their number of classes checked. Shape ``[N, C]``."""
        check_classes(logits, self.num_classes)
        return logits

    @override
    def calibrate(self, prepared: Tensor) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        return prepared * self.weight + self.bias
