"""Scores that are averaged over the graph: neighbours of a node tend to share its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_choice, check_probability
from graphattn.calibration.conformal._checks import check_edges
from graphattn.calibration.conformal.scores import APS, Score
from graphattn.ops import spmm

__all__ = ["DAPS", "SNAPS"]

Alone = Literal["own", "zero"]
_ALONE = ("own", "zero")


@dataclass(frozen=True)
class _DiffusedScore(Score):
    """A score that is mixed with its means over neighbours."""

    needs_graph: ClassVar[bool] = True

    base: Score = field(default_factory=APS)
    alone: Alone = field(default="own", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.base, Score) or isinstance(self.base, _DiffusedScore):
            raise TypeError(f"'base' must be a score of single nodes, got {self.base!r}")
        check_choice("alone", self.alone, _ALONE)

    @property
    @override
    def draws(self) -> bool:
        return self.base.draws

    def _mean(self, scores: Tensor, edges: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean over the targets of the edges that leave a node."""
        num_nodes = len(scores)
        weight = scores.new_ones(edges.size(1)) if weight is None else weight.to(scores)
        edges = edges.flip(0)
        total = scores.new_zeros(num_nodes).index_add_(0, edges[1], weight)
        sums = spmm(scores.unsqueeze(1), weight.unsqueeze(1), edges, num_dst=num_nodes).squeeze(1)
        lonely = (total == 0).unsqueeze(1)
        mean = sums / total.unsqueeze(1).masked_fill(lonely, 1)
        return torch.where(lonely, scores, mean) if self.alone == "own" else mean


@dataclass(frozen=True)
class DAPS(_DiffusedScore):
    r"""Diffused sets: :math:`(1 - \lambda) \, s(i, c) + \lambda` times the mean over neighbours.

    From `"Conformal Prediction Sets for Graph Neural Networks"
    <https://proceedings.mlr.press/v202/h-zargarbashi23a.html>`_. The neighbours of a node are the
    targets of the edges that leave it. An edge that is given twice counts twice, and a self-loop
    counts the node itself.

    Args:
        base: The score that is averaged.
        weight: :math:`\lambda`, in ``[0, 1]``.
        alone: What stands for the mean of a node without neighbours: its ``"own"`` score or, as in
            published code, ``"zero"``, which shrinks its scores and makes its sets too large.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range.

    Example:
        >>> from graphattn.calibration.conformal import THR
        >>> logits, edges = torch.tensor([[100.0, 0.0], [0.0, 100.0]]), torch.tensor([[0], [1]])
        >>> DAPS(THR(), weight=0.25)(logits, edge_index=edges)
        tensor([[0.2500, 0.7500],
                [1.0000, 0.0000]], dtype=torch.float64)
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("weight", self.weight)

    @override
    def score(
        self,
        probs: Tensor,
        u: Tensor | None,
        edge_index: Adj | None,
        knn: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        own = self.base.score(probs, u, None, None)
        mean = self._mean(own, check_edges(edge_index, len(probs)))
        return (1 - self.weight) * own + self.weight * mean


@dataclass(frozen=True)
class SNAPS(_DiffusedScore):
    r"""Scores mixed with means over neighbours, and over nodes with similar features.

    .. math::
        s'(i, c) = (1 - \xi - \mu) \, s(i, c) + \xi \, \mathrm{mean}_{j \sim i} s(j, c)
        + \mu \, \mathrm{mean}_{i \to j} s(j, c)

    From `"Similarity-Navigated Conformal Prediction for Graph Neural Networks"
    <https://arxiv.org/abs/2405.14303>`_, where :math:`j \sim i` are the edges of :func:`knn_graph`,
    with their weights. Edges count as in :class:`DAPS`.

    Args:
        base: The score that is averaged.
        xi: :math:`\xi`, in ``[0, 1]``.
        mu: :math:`\mu`, in ``[0, 1 - xi]``.
        alone: See :class:`DAPS`; for each of the two means.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range.
    """

    needs_knn: ClassVar[bool] = True

    xi: float = 1 / 3
    mu: float = 1 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("xi", self.xi)
        check_probability("mu", self.mu)
        if self.xi + self.mu > 1:
            raise ValueError(f"'xi' and 'mu' must sum up to at most 1, got {self.xi} and {self.mu}")

    @override
    def score(
        self,
        probs: Tensor,
        u: Tensor | None,
        edge_index: Adj | None,
        knn: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        edges = check_edges(edge_index, len(probs))
        own = self.base.score(probs, u, None, None)
        similar = self._mean(own, *_checked_knn(knn, len(probs)))
        near = self._mean(own, edges)
        return (1 - self.xi - self.mu) * own + self.xi * similar + self.mu * near


def _checked_knn(knn: tuple[Tensor, Tensor] | None, num_nodes: int) -> tuple[Tensor, Tensor]:
    if not isinstance(knn, tuple) or len(knn) != 2:
        raise TypeError(f"'knn' must be a pair of edges and weights, got {type(knn).__name__}")
    edges, weight = check_edges(knn[0], num_nodes, "knn"), knn[1]
    if not isinstance(weight, Tensor) or list(weight.shape) != [edges.size(1)]:
        found = list(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ValueError(f"the weights of 'knn' must have shape [{edges.size(1)}], got {found}")
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        raise ValueError(
            f"the weights of 'knn' must be finite and 0 or more, got {float(weight.min())}"
        )
    return edges, weight
