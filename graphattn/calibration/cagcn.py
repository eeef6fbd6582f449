"""CaGCN."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_count, check_probability
from graphattn.calibration.calibrator import GradientCalibrator
from graphattn.calibration.gcn import GCN, NormalizedGraph
from graphattn.calibration.inputs import check_classes, check_edges

__all__ = ["CaGCNScaler"]

_MARGIN_WEIGHT = 0.5
_OFFSET = 1.1
_LEAST_SCALE = 1e-30


class CaGCNScaler(GradientCalibrator):
    r"""A factor for every node, from two graph convolutions on the logits.

    .. math::
        \mathbf{z}_i \cdot \mathrm{softplus}(t_i), \qquad
        \mathbf{t} = \mathrm{GCN}(\mathbf{Z}, \mathrm{edges})

    From `"Be Confident! Towards Trustworthy Graph Neural Networks via Confidence Calibration"
    <https://arxiv.org/abs/2109.14285>`_, as it is compared with in the code of `GATS
    <https://arxiv.org/abs/2210.06391>`_. Every node has one self-loop, whether the input has it or
    not; an isolated node looks at itself only.

    Note:
        ``original=True`` is the form of CaGCN's own code: the factor is
        :math:`\log(e^{t_i} + 1.1)`, and half a margin term joins the loss, which is
        :math:`1 - p_{i,1} + p_{i,2}` where the most probable class is right and
        :math:`p_{i,1} - p_{i,2}` where it is wrong, with the two largest probabilities.

    Args:
        num_classes: Number of classes :math:`C`.
        hidden_channels: Features between the convolutions.
        dropout: Probability of dropout between the convolutions.
        original: Whether to take the form of CaGCN's own code.
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients; 0.03 for CoraFull in both
            codes.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> logits, edge_index = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0], [1]])
        >>> scaler = CaGCNScaler(2).eval()
        >>> scaler(logits, edge_index, torch.tensor([True, False])).argmax(dim=1)
        tensor([0, 1])
    """

    needs_graph: ClassVar[bool] = True

    def __init__(
        self,
        num_classes: int,
        *,
        hidden_channels: int = 16,
        dropout: float = 0.5,
        original: bool = False,
        lr: float = 0.01,
        weight_decay: float = 5e-3,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        check_count("num_classes", num_classes, least=2)
        check_count("hidden_channels", hidden_channels)
        check_probability("dropout", dropout)
        self.num_classes = num_classes
        self.original = original
        self.gcn = GCN(num_classes, hidden_channels, 1, dropout=dropout)

    @override
    def reset_parameters(self) -> None:
        """Draw the weights of the convolutions anew."""
        self.gcn.reset_parameters()

    @override
    def prepare(
        self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None
    ) -> tuple[Tensor, NormalizedGraph]:
        """The logits, and the graph normalised for convolutions."""
        check_classes(logits, self.num_classes)
        edges = check_edges(edge_index, logits.size(0))
        return logits, NormalizedGraph.of(edges, logits.size(0), logits.dtype)

    @override
    def calibrate(self, prepared: tuple[Tensor, NormalizedGraph]) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        logits, graph = prepared
        t = self.gcn(logits, graph)
        # exp(t) alone would overflow
        scale = (
            torch.logaddexp(t, t.new_tensor(math.log(_OFFSET))) if self.original else softplus(t)
        )
        # A factor that underflows would make all classes equal.
        return logits * scale.clamp_min(_LEAST_SCALE)

    @override
    def loss(self, calibrated: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy, and half the margin term in the original form."""
        loss = cross_entropy(calibrated, y)
        return loss + _MARGIN_WEIGHT * _margin(calibrated, y) if self.original else loss


def _margin(calibrated: Tensor, y: Tensor) -> Tensor:
    """How far right nodes are from certainty and wrong ones from doubt, on average."""
    top = calibrated.softmax(dim=1).topk(2, dim=1)
    lead = top.values[:, 0] - top.values[:, 1]
    return torch.where(top.indices[:, 0] == y, 1 - lead, lead).mean()
