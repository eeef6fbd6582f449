"""How strange each class would be for a node: scores from its probabilities alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_count, check_number
from graphattn.calibration.calibrator import check_logits

__all__ = ["APS", "RAPS", "SAPS", "THR", "Score"]


class Score(ABC):
    """Strangeness of every class of every node; a set holds the classes that are not too strange.

    Scores are computed in ``float64`` whatever the logits are: in ``float32`` the probabilities of
    a confident classifier round to one, and sets would be decided by ties.
    """

    needs_graph: ClassVar[bool] = False
    """Whether ``edge_index`` must be given."""
    needs_knn: ClassVar[bool] = False
    """Whether ``knn`` must be given."""

    def __call__(
        self,
        logits: Tensor,
        u: Tensor | None = None,
        edge_index: Adj | None = None,
        *,
        knn: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Score every class of every node.

        Args:
            logits: Logits of the classifier. Shape ``[N, C]``.
            u: Random numbers in ``[0, 1)`` for scores that draw: one per node, shape ``[N]``, or
                one per node and rank, shape ``[N, C]``, the most probable class first. ``None``
                only for scores that don't draw.
            edge_index: The graph, for scores that look at it. Shape ``[2, E]``.
            knn: Edges to similar nodes and their weights, as :func:`knn_graph` makes them, for
                :class:`SNAPS`. Shapes ``[2, K]`` and ``[K]``.

        Returns:
            The scores, ``float64``; larger is stranger. Shape ``[N, C]``.

        Raises:
            TypeError: If an input has another type.
            ValueError: If an input is missing, has another shape or is out of range, or logits are
                not finite or look like probabilities.
        """
        probs = check_logits(logits).double().softmax(dim=1)
        if not self.draws:
            u = None
        elif u is None:
            raise ValueError(f"'u' must be given to {self}, which draws, got None")
        else:
            u = _check_draws(u, probs)
        for needed, name, value in (
            (self.needs_graph, "edge_index", edge_index),
            (self.needs_knn, "knn", knn),
        ):
            if needed and value is None:
                raise ValueError(f"'{name}' must be given to {self}, got None")
        return self.score(probs, u, edge_index, knn)

    @property
    @abstractmethod
    def draws(self) -> bool:
        """Whether random numbers are needed."""

    @abstractmethod
    def score(
        self,
        probs: Tensor,
        u: Tensor | None,
        edge_index: Adj | None,
        knn: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Score checked inputs; ``u`` has shape ``[N, 1]`` or ``[N, C]``."""


@dataclass(frozen=True)
class THR(Score):
    r"""Least ambiguous sets (LAC): :math:`s(i, c) = 1 - p_i(c)`.

    From `"Least Ambiguous Set-Valued Classifiers With Bounded Error Levels"
    <https://arxiv.org/abs/1609.00451>`_. The smallest sets on average, some of them empty; coverage
    is the least even over nodes and classes.

    Example:
        >>> THR()(torch.tensor([[0.0, 0.0], [100.0, 0.0]]))
        tensor([[0.5000, 0.5000],
                [0.0000, 1.0000]], dtype=torch.float64)
    """

    @property
    @override
    def draws(self) -> bool:
        return False

    @override
    def score(
        self,
        probs: Tensor,
        u: Tensor | None,
        edge_index: Adj | None,
        knn: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        return 1 - probs


class _RankedScore(Score):
    """A score that goes by the ranks of the classes; equal ones rank by their number."""

    randomised: bool

    @property
    @override
    def draws(self) -> bool:
        return self.randomised

    @override
    def score(
        self,
        probs: Tensor,
        u: Tensor | None,
        edge_index: Adj | None,
        knn: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        ranked, order = probs.sort(dim=1, descending=True, stable=True)
        drawn = probs.new_zeros(1, 1) if u is None else u
        return torch.empty_like(probs).scatter_(1, order, self.by_rank(ranked, drawn))

    @abstractmethod
    def by_rank(self, ranked: Tensor, u: Tensor) -> Tensor:
        """Scores of classes in the order of their ranks. Shape ``[N, C]``."""


@dataclass(frozen=True)
class APS(_RankedScore):
    r"""Adaptive sets: :math:`s(i, c) = \sum_{r(c') < r(c)} p_i(c') + (1 - u_i) \, p_i(c)`.

    From `"Classification with Valid and Adaptive Coverage" <https://arxiv.org/abs/2006.02544>`_.

    Args:
        randomised: Count a random part of a class's own probability; else all of it, which makes
            sets far wider where a classifier is confident.

    Example:
        >>> APS(randomised=False)(torch.tensor([[-1.0, 0.0]]))
        tensor([[1.0000, 0.7311]], dtype=torch.float64)
    """

    randomised: bool = True

    @override
    def by_rank(self, ranked: Tensor, u: Tensor) -> Tensor:
        return ranked.cumsum(dim=1) - u * ranked


@dataclass(frozen=True)
class RAPS(_RankedScore):
    r"""Adaptive sets that shun classes of high rank: APS :math:`+ \lambda \max(0, r - k_{reg})`.

    From `"Uncertainty Sets for Image Classifiers using Conformal Prediction"
    <https://arxiv.org/abs/2009.14193>`_.

    Args:
        penalty: :math:`\lambda`.
        k_reg: Number of ranks without a penalty.
        randomised: See :class:`APS`.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range.
    """

    penalty: float = 0.1
    k_reg: int = 1
    randomised: bool = True

    def __post_init__(self) -> None:
        check_number("penalty", self.penalty)
        check_count("k_reg", self.k_reg, least=0)

    @override
    def by_rank(self, ranked: Tensor, u: Tensor) -> Tensor:
        rank = torch.arange(1, ranked.size(1) + 1).to(ranked)
        beyond = (rank - self.k_reg).clamp(min=0)
        return ranked.cumsum(dim=1) - u * ranked + self.penalty * beyond


@dataclass(frozen=True)
class SAPS(_RankedScore):
    r"""Sorted adaptive sets, which keep nothing but the largest probability and the ranks.

    .. math::
        s(i, c) = \begin{cases} (1 - u_i) \, p_i^{max} & r(c) = 1 \\
        p_i^{max} + w \, (r(c) - 1 - u_i) & \text{else} \end{cases}

    From `"Conformal Prediction for Deep Classifier via Label Ranking"
    <https://arxiv.org/abs/2310.06430>`_.

    Args:
        weight: :math:`w`.
        randomised: See :class:`APS`.

    Raises:
        TypeError: If ``weight`` is no number.
        ValueError: If it is negative or not finite.
    """

    weight: float = 0.2
    randomised: bool = True

    def __post_init__(self) -> None:
        check_number("weight", self.weight)

    @override
    def by_rank(self, ranked: Tensor, u: Tensor) -> Tensor:
        largest = ranked[:, :1]
        beyond = torch.arange(ranked.size(1)).to(ranked) - u
        scores = (largest + self.weight * beyond).expand_as(ranked)
        return torch.cat([(1 - u[:, :1]) * largest, scores[:, 1:]], dim=1)


def _check_draws(u: Tensor, probs: Tensor) -> Tensor:
    """The random numbers as ``[N, 1]`` or ``[N, C]``, in ``float64``."""
    if not isinstance(u, Tensor) or not u.is_floating_point():
        kind = u.dtype if isinstance(u, Tensor) else type(u).__name__
        raise TypeError(f"'u' must be a floating-point tensor, got {kind}")
    if u.shape not in (probs.shape[:1], probs.shape):
        raise ValueError(
            f"'u' must have shape [{len(probs)}] or {list(probs.shape)}, got {list(u.shape)}"
        )
    if not bool(((u >= 0) & (u <= 1)).all()):
        raise ValueError(f"'u' must lie in [0, 1), got {float(u.min())} to {float(u.max())}")
    u = u.to(probs)
    return u.unsqueeze(1) if u.dim() == 1 else u
