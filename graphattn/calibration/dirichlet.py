"""Dirichlet calibration."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn.calibration.affine import AffineScaler

__all__ = ["DirichletScaler"]


class DirichletScaler(AffineScaler):
    r"""A linear map of logarithms of probabilities.

    .. math::
        \mathbf{A} \log \mathrm{softmax}(\mathbf{z}_i) + \mathbf{b}

    From `"Beyond Temperature Scaling: Obtaining Well-calibrated Multiclass Probabilities with
    Dirichlet Calibration" <https://arxiv.org/abs/1910.12656>`_, fitted as in the code of `GATS
    <https://arxiv.org/abs/2210.06391>`_ with a penalty on elements off the diagonal and on offsets
    (ODIR):

    .. math::
        \frac{\lambda}{C (C - 1)} \sum_{i \neq j} A_{ij}^2 + \frac{\mu}{C} \sum_i b_i^2

    The most probable class can change.

    Note:
        In the code of GATS the map starts as any linear layer of torch, from random numbers.
        ``published=True`` is that form; else it starts from the identity, which changes nothing.
        To decide when to stop, that code adds the penalty after a step to the loss on training
        nodes before it; here the loss after the step counts alone, as for all calibrators, which
        ends a fit within a few steps of theirs. Between start and end all steps are the same.

    Args:
        num_classes: Number of classes :math:`C`.
        off_diagonal: Weight :math:`\lambda` of the penalty on elements off the diagonal. In the
            code of GATS both weights are 10 for five graphs, 1,000 for Computers and CS, and 10,000
            or 100,000 for CoraFull.
        intercept: Weight :math:`\mu` of the penalty on offsets.
        published: Whether to start from random numbers.
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> DirichletScaler(2)(torch.tensor([[0.0, 0.0]])).detach()
        tensor([[-0.6931, -0.6931]])
    """

    def __init__(
        self,
        num_classes: int,
        *,
        off_diagonal: float = 10.0,
        intercept: float = 10.0,
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
    def prepare(self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None) -> Tensor:
        """Logarithms of the probabilities. Shape ``[N, C]``."""
        return super().prepare(logits, edge_index, train_mask).log_softmax(dim=1)
