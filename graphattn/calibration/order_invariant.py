"""Order-invariant calibration."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_count
from graphattn.calibration.calibrator import GradientCalibrator
from graphattn.calibration.inputs import check_classes

__all__ = ["OrderInvariantScaler"]


class OrderInvariantScaler(GradientCalibrator):
    r"""New gaps between sorted logits, from a small network that sees them sorted.

    With a row of logits sorted from the largest, :math:`s_1 \geq \dots \geq s_C`, and a network
    :math:`m` of two layers of :math:`C` units with ReLU in between, the calibrated logits are

    .. math::
        \hat{s}_k = \sum_{j = k}^{C - 1} (s_j - s_{j + 1}) \, \mathrm{softplus}(m_{C + 1 - j}
        (\mathbf{s})), \qquad \hat{s}_C = 0

    put back in the order of classes. So classes keep their order, equal logits stay equal, and
    which class is which does not matter; gaps to which the network gives a weight near 0, as it
    can for logits of several hundreds, may be lost to rounding. From `"Intra Order-preserving
    Functions for Calibration of Multi-Class Neural Networks" <https://arxiv.org/abs/2003.06820>`_,
    as in the code of `GATS <https://arxiv.org/abs/2210.06391>`_.

    Args:
        num_classes: Number of classes :math:`C`.
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients; 0 to 0.01 in the code of
            GATS, and 1 for CoraFull.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> scaler = OrderInvariantScaler(3)
        >>> scaler(torch.tensor([[1.0, 5.0, 2.0]])).argsort(dim=1)
        tensor([[0, 2, 1]])
    """

    def __init__(
        self,
        num_classes: int,
        *,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        check_count("num_classes", num_classes, least=2)
        self.num_classes = num_classes
        self.lin1 = nn.Linear(num_classes, num_classes)
        self.lin2 = nn.Linear(num_classes, num_classes)

    @override
    def reset_parameters(self) -> None:
        """Draw the weights of the network anew."""
        self.lin1.reset_parameters()
        self.lin2.reset_parameters()

    @override
    def prepare(
        self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logits from the largest to the smallest, and the rank of every class; ``[N, C]`` both."""
        check_classes(logits, self.num_classes)
        ordered = logits.sort(dim=1, descending=True, stable=True)
        return ordered.values, ordered.indices.argsort(dim=1)

    @override
    def calibrate(self, prepared: tuple[Tensor, Tensor]) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        ordered, rank = prepared
        dtype = ordered.dtype
        hidden = linear(ordered, self.lin1.weight.to(dtype), self.lin1.bias.to(dtype)).relu()
        # The first output would weigh the gap below the smallest logit, which is left out.
        out = linear(hidden, self.lin2.weight[1:].to(dtype), self.lin2.bias[1:].to(dtype))
        gaps = (ordered[:, :-1] - ordered[:, 1:]) * softplus(out).flip(1)
        above = gaps.flip(1).cumsum(1).flip(1)
        return torch.cat([above, torch.zeros_like(ordered[:, :1])], dim=1).gather(1, rank)
