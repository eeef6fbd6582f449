"""Matrix scaling."""

from __future__ import annotations

from torch import nn
from typing_extensions import override

from graphattn.calibration.affine import AffineScaler

__all__ = ["MatrixScaler"]


class MatrixScaler(AffineScaler):
    r"""A linear map of logits, :math:`\mathbf{A} \mathbf{z}_i + \mathbf{b}`, drawn to its diagonal.

    From `"On Calibration of Modern Neural Networks" <https://arxiv.org/abs/1706.04599>`_, with the
    penalty of `"Beyond Temperature Scaling" <https://arxiv.org/abs/1910.12656>`_ on elements off
    the diagonal and on offsets (ODIR):

    .. math::
        \frac{\lambda}{C (C - 1)} \sum_{i \neq j} A_{ij}^2 + \frac{\mu}{C} \sum_i b_i^2

    The most probable class can change. With few validation nodes for the :math:`C^2` weights,
    raise :math:`\lambda`.

    Note:
        In the code of `CaGCN <https://arxiv.org/abs/2109.14285>`_, from which the defaults of the
        penalty are, all weights and offsets start at 1, where all classes are equally probable.
        ``published=True`` is that form; else the map starts from the identity, which changes
        nothing.

    Args:
        num_classes: Number of classes :math:`C`.
        off_diagonal: Weight :math:`\lambda` of the penalty on elements off the diagonal.
        intercept: Weight :math:`\mu` of the penalty on offsets.
        published: Whether weights and offsets start at 1.
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> MatrixScaler(2)(torch.tensor([[3.0, 1.0]])).detach()
        tensor([[3., 1.]])
    """

    def __init__(
        self,
        num_classes: int,
        *,
        off_diagonal: float = 1e-2,
        intercept: float = 2e-1,
        published: bool = False,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__(
            num_classes,
            off_diagonal=off_diagonal,
            intercept=intercept,
            published=published,
            lr=lr,
            weight_decay=weight_decay,
            max_epochs=max_epochs,
            patience=patience,
        )

    @override
    def start_as_published(self) -> None:
        """Set all weights and offsets to 1."""
        nn.init.ones_(self.linear.weight)
        nn.init.ones_(self.linear.bias)
