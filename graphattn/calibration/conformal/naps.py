"""Sets with a threshold per node, from the labelled nodes around it."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.typing import Adj

from graphattn._core.checks import check_choice, check_count, check_seed
from graphattn.calibration.calibrator import check_logits
from graphattn.calibration.conformal._checks import check_alpha, check_edges, check_fit
from graphattn.calibration.conformal._fitted import Fitted
from graphattn.calibration.conformal.predictor import draw
from graphattn.calibration.conformal.quantile import SLACK, weight_needed
from graphattn.calibration.conformal.scores import APS, Score

__all__ = ["NAPS"]

Weighting = Literal["uniform", "linear", "geometric"]


class NAPS(Fitted):
    r"""Sets whose threshold is a weighted quantile over the labelled nodes within a few hops.

    From `"Distribution Free Prediction Sets for Node Classification"
    <https://proceedings.mlr.press/v202/clarkson23a.html>`_. A labelled node at distance :math:`d`
    of node :math:`i` weighs 1, :math:`1 / d` or :math:`2^{1 - d}`, and the node itself, whose class
    nobody knows, weighs 1 at infinity:

    .. math::
        q_i = \inf \Big\{ t : \sum_{j : s_j \le t} w_j \ge (1 - \alpha) \big( 1 + \sum_j w_j \big)
        \Big\}

    Meant for nodes that arrive later, where neighbours have similar scores; otherwise there is no
    promise, unlike that of :class:`ConformalPredictor`. A node with fewer than ``cutoff``
    labelled nodes around it gets no set: its row is empty, and its threshold is NaN. Leave such
    nodes out of measures. The label of a node never counts for itself.

    Note:
        Sums of weights are compared in whole numbers. The code in TorchCP finds the threshold by
        root finding, which ends anywhere between two scores where weights meet the bound exactly,
        and fails where the threshold is infinite; and it evaluates on test nodes that serve as
        labelled nodes of each other: fit on the test nodes of their subgraph for that.

    Args:
        score: Score of single nodes.
        alpha: Share of sets that may miss their class, in ``(0, 1)``.
        hops: Largest distance of a labelled node.
        weighting: ``"uniform"``, ``"linear"`` (:math:`1 / d`) or ``"geometric"``.
        cutoff: Least number of labelled nodes.
        seed: Of random numbers, one per node.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range.
    """

    labelled: Tensor
    labelled_scores: Tensor

    def __init__(
        self,
        score: Score | None = None,
        *,
        alpha: float = 0.1,
        hops: int = 2,
        weighting: Weighting = "uniform",
        cutoff: int = 50,
        seed: int = 0,
    ) -> None:
        super().__init__()
        score = APS() if score is None else score
        if not isinstance(score, Score) or score.needs_graph:
            raise TypeError(
                f"'score' must be a score of single nodes, such as APS(), got {score!r}"
            )
        check_alpha(alpha)
        check_count("hops", hops, most=8)
        check_choice("weighting", weighting, ("uniform", "linear", "geometric"))
        check_count("cutoff", cutoff, least=0)
        check_seed("seed", seed)
        self.score = score
        self.alpha = alpha
        self.hops = hops
        self.weighting = weighting
        self.cutoff = cutoff
        self.seed = seed
        self.register_buffer("labelled", torch.empty(0, dtype=torch.int64))
        self.register_buffer("labelled_scores", torch.empty(0, dtype=torch.float64))

    def fit(
        self,
        logits: Tensor,
        y: Tensor,
        edge_index: Adj | None = None,
        *,
        cal_mask: Tensor,
        seen_mask: Tensor | None = None,
    ) -> Self:
        """Keep the scores of labelled nodes.

        Args:
            logits: See :meth:`ConformalPredictor.fit`. Shape ``[N, C]``.
            y: Classes; only those of nodes in the masks are looked at. Shape ``[N]``.
            edge_index: Not looked at before sets are asked for.
            cal_mask: Labelled nodes. Shape ``[N]``, ``bool``.
            seen_mask: See :meth:`ConformalPredictor.fit`.

        Returns:
            The predictor itself.

        Raises:
            TypeError: See :meth:`ConformalPredictor.fit`.
            ValueError: See :meth:`ConformalPredictor.fit`.
        """
        logits = check_fit(logits, y, cal_mask, seen_mask)
        nodes = cal_mask.nonzero().squeeze(1)
        scores = self._scores(logits)[nodes, y[nodes].long()]
        # In the order of scores, so that rows of a matrix with sorted columns are sorted by score.
        order = scores.argsort(stable=True)
        self.labelled, self.labelled_scores = nodes[order], scores[order]
        return self

    def forward(self, logits: Tensor, edge_index: Adj) -> Tensor:
        """Give the sets.

        Args:
            logits: Logits of all nodes, in the order of :meth:`fit`; more may follow. Shape
                ``[N, C]``.
            edge_index: The graph of these nodes; directions and self-loops don't count. Shape
                ``[2, E]``.

        Returns:
            Whether a class is in the set of a node, ``bool``; all ``False`` for nodes without a
            set. Shape ``[N, C]``.

        Raises:
            RuntimeError: If :meth:`fit` was not called.
            TypeError: If an input has another type.
            ValueError: If an input has another shape or logits are not fit for use.
        """
        logits = check_logits(logits)
        thresholds = self.thresholds(edge_index, num_nodes=len(logits)).unsqueeze(1)
        return self._scores(logits) <= thresholds.to(logits.device) + SLACK

    def thresholds(self, edge_index: Adj, *, num_nodes: int) -> Tensor:
        """Threshold of every node: NaN where there is no set, infinity where it holds all classes.

        Args:
            edge_index: See :meth:`forward`.
            num_nodes: ``N``.

        Returns:
            The thresholds, ``float64``, on the CPU. Shape ``[N]``.

        Raises:
            RuntimeError: If :meth:`fit` was not called.
            ValueError: If a node is out of range.
        """
        if not len(self.labelled):
            raise RuntimeError("this NAPS must be fitted before it gives sets")
        labelled = self.labelled.numpy(force=True)
        if labelled.max() >= num_nodes:
            raise ValueError(
                f"'logits' must have all nodes of the fit, got {num_nodes} rows and a labelled "
                f"node {labelled.max()}"
            )
        edges = check_edges(edge_index, num_nodes).numpy(force=True)
        weight = _weights(edges, labelled, num_nodes, self._whole_weights())
        rows = np.repeat(np.arange(num_nodes), np.diff(weight.indptr))
        running = np.concatenate([[0], np.cumsum(weight.data)])
        before = running[weight.indptr[:-1]]
        total = running[weight.indptr[1:]] - before + self._whole_weights()[0]
        needed = weight_needed(torch.from_numpy(total), self.alpha).numpy()
        # The first entry of a row at which the weights so far suffice.
        reached = running[1:] - before[rows] >= needed[rows]
        first = np.full(num_nodes, len(labelled))
        np.minimum.at(first, rows[reached], weight.indices[reached])
        scores = np.append(self.labelled_scores.numpy(force=True), np.inf)
        found = scores[first]
        found[np.diff(weight.indptr) < self.cutoff] = np.nan
        return torch.from_numpy(found)

    def extra_repr(self) -> str:
        """Settings, for ``repr``."""
        return f"{self.score}, alpha={self.alpha}, hops={self.hops}, weighting={self.weighting!r}"

    def _scores(self, logits: Tensor) -> Tensor:
        return self.score(logits, draw(logits, seed=self.seed) if self.score.draws else None)

    def _whole_weights(self) -> list[int]:
        """Weights of the distances from 1 on, all multiplied by what makes them whole.

        The first is that of the node itself, too.
        """
        distances = range(1, self.hops + 1)
        if self.weighting == "linear":
            common = math.lcm(*distances)
            return [common // distance for distance in distances]
        if self.weighting == "geometric":
            return [2 ** (self.hops - distance) for distance in distances]
        return [1 for _ in distances]


def _weights(
    edges: npt.NDArray[np.int64], labelled: npt.NDArray[np.int64], num_nodes: int, by_hop: list[int]
) -> sparse.csr_array:
    """Weight of the labelled nodes (columns) around every node (rows), columns in order."""
    src, dst = edges
    ones = np.ones(2 * len(src), dtype=bool)
    ends = (np.concatenate([src, dst]), np.concatenate([dst, src]))
    neighbours = sparse.csr_array((ones, ends), shape=(num_nodes, num_nodes))
    columns = np.arange(len(labelled))
    shape = (num_nodes, len(labelled))
    found = sparse.csr_array((np.ones_like(labelled, dtype=bool), (labelled, columns)), shape=shape)
    newest, weights = found, sparse.csr_array(shape, dtype=np.int64)
    for weight in by_hop:
        # Products of bool are bool: one way is as good as many.
        newest = (neighbours @ newest) > found
        found = found.maximum(newest)
        weights = weights + newest.astype(np.int64) * weight
    weights.sort_indices()
    return weights
