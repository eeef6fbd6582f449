"""Graph attention temperature scaling."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch_geometric.nn.inits import glorot
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import as_count, check_number
from graphattn.calibration.calibrator import GradientCalibrator, check_logits
from graphattn.calibration.gats_graph import EdgesInto, NodesOf
from graphattn.calibration.inputs import check_classes
from graphattn.ops import GivenScore, attend

__all__ = ["GATSScaler"]


@dataclass(frozen=True, eq=False)
class _Fit:
    """What a fit looks at: of all edges those into the nodes whose logits it compares."""

    nodes: NodesOf
    learned: tuple[EdgesInto, ...]
    stopped: tuple[EdgesInto, ...]


class GATSScaler(GradientCalibrator):
    r"""A temperature for every node, from one pass of attention over the graph.

    From `"What Makes Graph Neural Networks Miscalibrated?" <https://arxiv.org/abs/2210.06391>`_
    (Hsu, Shen, Tomani and Cremers, NeurIPS 2022). The logits of a node are divided by

    .. math::
        T_i = T_0 + \frac{1}{H} \sum_{h=1}^{H} \mathrm{softplus}\Big( \omega \, \frac{1}{\deg_i}
        \sum_{j \to i} (c_i - c_j) + \sum_{j \to i} \alpha_{ji} \, \gamma_j \,
        (\mathbf{W} \mathbf{u}_j)_h \Big), \qquad
        \alpha_{ji} = \mathrm{softmax}_j \, \mathrm{LeakyReLU}_{0.2} \Big\langle
        \frac{\mathbf{z}_j}{\gamma_j}, \frac{\mathbf{z}_i}{\gamma_i} \Big\rangle,

    with logits :math:`\mathbf{z}_i`, which sorted and scaled to :math:`[0, 1]` are
    :math:`\mathbf{u}_i`, confidences :math:`c_i = \max \mathrm{softmax}(\mathbf{z}_i)`, and factors
    :math:`\gamma_i` of three kinds of nodes: training nodes, nodes with an edge from one, and all
    others, nodes that can't be reached among them, for which it is 1. Each node has one self-loop,
    whether the input has it or not; parallel edges count as often as they are there. Sums go over
    incoming edges and :math:`\deg_i` counts outgoing ones, so that in a directed graph their
    quotient is no mean; this is so in the authors' code.

    Logits do not change in a fit. So one number per edge, the product of the logits of its ends, is
    computed once, and of the edges only those into validation nodes and into training nodes. No
    array has a row of logits, or of heads, for every edge, unless gradients of logits are asked
    for. Edges that are needed are copied and sorted 16 M at a time. Under ``torch.no_grad()`` no
    more than these are held when the calibrator is called; with autograd on they all stay.

    A fit starts from a random :math:`\mathbf{W}` of torch's generator; with the same seed it gives
    the same bits on the CPU.

    Note:
        :math:`T_0` and the two factors are learned as logarithms, so that temperatures stay
        positive and the most probable class the same, and weight decay draws them to 1. The authors
        learn them as they are: in their runs :math:`T_0` and a factor by which logits are divided
        went below zero. ``published=True`` is their form, which warns of temperatures that are not
        positive when it is called. In both forms a row of equal logits has
        :math:`\mathbf{u}_i = 0`, which in the authors' code makes it NaN.

        ``weight`` of the state dict is the authors' :math:`\mathbf{W}`, and ``confidence_weight``
        :math:`\omega`. ``temperature`` is :math:`T_0` and ``gamma`` the factors of training nodes
        and of those one hop away; ``log_temperature`` and ``log_gamma`` are their logarithms.

    Args:
        num_classes: Number of classes :math:`C`.
        heads: Number of heads :math:`H`.
        initial_temperature: :math:`T_0` at the start, above 0. The authors take 1, and 1.5 for
            CoraFull.
        published: Learn :math:`T_0` and :math:`\gamma` as they are, see above.
        lr: Learning rate.
        weight_decay: Factor of all parameters added to their gradients. The authors take 0 to 0.2,
            see their configuration of each data set.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> edge_index = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> logits, y = torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
        >>> train_mask = torch.tensor([True, False, False, False])
        >>> masks = {"train_mask": train_mask, "val_mask": ~train_mask}
        >>> scaler = GATSScaler(2, max_epochs=50).fit(logits, y, edge_index, **masks)
        >>> scaler(logits, edge_index, train_mask).argmax(dim=1)
        tensor([0, 0, 0, 0])
        >>> bool((scaler.node_temperatures(logits, edge_index, train_mask) > 0).all())
        True
    """

    needs_graph: ClassVar[bool] = True
    needs_train_mask: ClassVar[bool] = True

    def __init__(
        self,
        num_classes: int,
        heads: int = 8,
        *,
        initial_temperature: float = 1.0,
        published: bool = False,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        self.num_classes = as_count("num_classes", num_classes, least=2)
        self.heads = as_count("heads", heads)
        check_number("initial_temperature", initial_temperature, positive=True)
        self.initial_temperature = initial_temperature
        self.published = published
        self.weight = nn.Parameter(torch.empty(self.heads, self.num_classes))
        self.confidence_weight = nn.Parameter(torch.empty(()))
        temperature, gamma = nn.Parameter(torch.empty(1)), nn.Parameter(torch.empty(2))
        if published:
            self.temperature, self.gamma = temperature, gamma
        else:
            self.log_temperature, self.log_gamma = temperature, gamma
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start anew, from a random weight."""
        glorot(self.weight)
        nn.init.zeros_(self.confidence_weight)
        if self.published:
            nn.init.constant_(self.temperature, self.initial_temperature)
            nn.init.ones_(self.gamma)
        else:
            nn.init.constant_(self.log_temperature, math.log(self.initial_temperature))
            nn.init.zeros_(self.log_gamma)

    def prepare(self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None) -> NodesOf:
        """See :meth:`Calibrator.prepare`."""
        check_classes(logits, self.num_classes)
        return NodesOf.read(logits, edge_index, train_mask)

    def calibrate(self, prepared: NodesOf | _Fit) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        if isinstance(prepared, _Fit):
            # The fit compares logits of validation nodes in training, of training nodes else.
            edges = prepared.learned if self.training else prepared.stopped
            return prepared.nodes.logits / self._temperatures(prepared.nodes, edges).unsqueeze(1)
        return prepared.logits / self._of_all_nodes(prepared).unsqueeze(1)

    def node_temperatures(self, logits: Tensor, edge_index: Adj, train_mask: Tensor) -> Tensor:
        """The temperatures by which :meth:`forward` divides.

        Args:
            logits: See :meth:`forward`. Shape ``[N, C]``.
            edge_index: The graph.
            train_mask: Nodes that the classifier was trained on. Shape ``[N]``, ``bool``.

        Returns:
            Shape ``[N]``, in the type of what :meth:`forward` returns.

        Raises:
            TypeError: See :meth:`forward`.
            ValueError: See :meth:`forward`.
        """
        prepared: NodesOf = self._prepared(check_logits(logits), edge_index, train_mask)
        return self._of_all_nodes(prepared)

    @override
    def _fit(
        self, prepared: NodesOf, y: Tensor, val_mask: Tensor, train_mask: Tensor | None
    ) -> None:
        stopped = () if train_mask is None else tuple(prepared.edges_into(train_mask))
        learned = tuple(prepared.edges_into(val_mask))
        super()._fit(_Fit(prepared, learned, stopped), y, val_mask, train_mask)

    def _of_all_nodes(self, nodes: NodesOf) -> Tensor:
        every = torch.ones(len(nodes.logits), dtype=torch.bool, device=nodes.logits.device)
        found = self._temperatures(nodes, nodes.edges_into(every))
        if self.published and not bool((found > 0).all()):
            warnings.warn(
                f"{int((found <= 0).sum())} temperature(s) are not positive, the smallest is "
                f"{found.detach().min():.3g}: predictions of these nodes change",
                RuntimeWarning,
                stacklevel=3,
            )
        return found

    def _temperatures(self, nodes: NodesOf, parts: Iterable[EdgesInto]) -> Tensor:
        """Temperatures of the nodes into which all edges are given; of others anything. ``[N]``."""
        number = len(nodes.logits)
        temperature, gamma = self._positive()
        gamma = torch.cat([gamma, gamma.new_ones(1)]).to(nodes.logits)
        of_heads = nodes.spread @ self.weight.to(nodes.logits).t()
        # A product, since gradients of gathered factors would be summed in any order.
        values = (nodes.is_at @ gamma).unsqueeze(1) * of_heads
        sums = self.confidence_weight.to(nodes.logits) * nodes.relative.unsqueeze(1)
        for part in parts:
            scores = GivenScore(part.scores(gamma))
            added = attend(values.unsqueeze(1), scores, part.edge_index, num_dst=number)
            sums = sums + added.squeeze(1)
        return temperature.to(nodes.logits) + softplus(sums).mean(dim=1)

    def _positive(self) -> tuple[Tensor, Tensor]:
        """What is kept above zero unless the published form is wanted: base and factors."""
        if self.published:
            return self.temperature, self.gamma
        return self.log_temperature.exp(), self.log_gamma.exp()

    def extra_repr(self) -> str:
        """Settings that decide about parameters."""
        published = ", published=True" if self.published else ""
        return f"{self.num_classes}, heads={self.heads}{published}"
