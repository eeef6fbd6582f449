"""Sets of classes that hold the right one as often as promised."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch_geometric.typing import Adj

from graphattn._core.checks import check_choice, check_seed
from graphattn.calibration.calibrator import check_logits
from graphattn.calibration.conformal._checks import check_alpha, check_fit
from graphattn.calibration.conformal._fitted import Fitted
from graphattn.calibration.conformal.quantile import SLACK, class_thresholds, conformal_threshold
from graphattn.calibration.conformal.scores import Score

__all__ = ["ConformalPredictor", "draw"]


class ConformalPredictor(Fitted):
    r"""Sets that hold the class of a node with probability :math:`1 - \alpha` at least.

    ``predictor.fit(logits, y, edge_index, cal_mask=...)`` finds the threshold of the scores, and
    ``predictor(logits, edge_index)`` gives the sets. The promise is exact if calibration nodes were
    drawn at random from the nodes it is about, and their labels served nothing else before: neither
    training, nor the choice of an epoch, a setting or a score, nor a calibrator of probabilities.
    It is about all nodes together, drawn anew each time: the share of covered nodes of one division
    varies around it, see :func:`coverage_interval`. For logits without a graph, score and all, this
    is split conformal prediction (`"Inductive Confidence Machines for Regression"
    <https://doi.org/10.1007/3-540-36755-1_29>`_).

    Random numbers are drawn from ``seed`` in the order of nodes, so that :meth:`fit` and calls on
    the same nodes see the same ones: scores that are averaged over neighbours would otherwise be of
    another kind on calibration nodes, and the promise no longer exact. TorchCP draws again.

    Args:
        score: How strange each class is for a node.
        alpha: Share of sets that may miss their class, in ``(0, 1)``.
        per_class: Keep the promise for the nodes of every class (Mondrian); sets get larger.
        top_class: Put the most probable class into every set, so that none is empty.
        draws: Random numbers ``"per node"``, or ``"per rank"`` as in TorchCP.
        seed: Of the random numbers.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range.

    Example:
        >>> from graphattn.calibration.conformal import THR
        >>> y = torch.arange(20) % 2
        >>> logits = 2.0 * torch.nn.functional.one_hot(y)
        >>> cal_mask = torch.arange(20) < 10
        >>> predictor = ConformalPredictor(THR(), alpha=0.1).fit(logits, y, cal_mask=cal_mask)
        >>> predictor(torch.tensor([[0.0, 3.0], [0.0, 1.0]]))
        tensor([[False,  True],
                [False, False]])
    """

    thresholds: Tensor

    def __init__(
        self,
        score: Score,
        *,
        alpha: float = 0.1,
        per_class: bool = False,
        top_class: bool = False,
        draws: str = "per node",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(score, Score):
            raise TypeError(f"'score' must be a Score, such as APS(), got {score!r}")
        check_alpha(alpha)
        check_choice("draws", draws, ("per node", "per rank"))
        check_seed("seed", seed)
        self.score = score
        self.alpha = alpha
        self.per_class = per_class
        self.top_class = top_class
        self.draws = draws
        self.seed = seed
        self.register_buffer("thresholds", torch.full((), float("nan"), dtype=torch.float64))

    def fit(
        self,
        logits: Tensor,
        y: Tensor,
        edge_index: Adj | None = None,
        *,
        cal_mask: Tensor,
        seen_mask: Tensor | None = None,
        knn: tuple[Tensor, Tensor] | None = None,
    ) -> Self:
        """Find the threshold, anew if it was found before.

        Args:
            logits: Logits of the classifier in evaluation mode, ``float16`` to ``float64``. Shape
                ``[N, C]``.
            y: Classes; only those of nodes in the masks are looked at. Shape ``[N]``.
            edge_index: The graph, for scores that look at it. Shape ``[2, E]``.
            cal_mask: Nodes to calibrate on. Where they are too few for ``alpha`` (fewer than
                ``1 / alpha - 1``), sets hold all classes. Shape ``[N]``, ``bool``.
            seen_mask: Nodes whose labels served for training or a choice; only to make sure that
                none is in ``cal_mask``. Shape ``[N]``, ``bool``.
            knn: See :class:`SNAPS`.

        Returns:
            The predictor itself.

        Raises:
            TypeError: If an input has another type.
            ValueError: If an input is missing or has another shape, logits are not finite or look
                like probabilities, there is one class only, a mask is empty, masks overlap, or a
                label is out of range.
        """
        logits = check_fit(logits, y, cal_mask, seen_mask)
        known = y[cal_mask].long()
        scores = self.scores(logits, edge_index, knn=knn)[cal_mask]
        scores = scores.gather(1, known[:, None]).squeeze(1)
        if self.per_class:
            found = class_thresholds(scores, known, self.alpha, num_classes=logits.size(1))
        else:
            found = conformal_threshold(scores, self.alpha)
        self.thresholds = found
        return self

    def forward(
        self,
        logits: Tensor,
        edge_index: Adj | None = None,
        *,
        knn: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Give the sets.

        Args:
            logits: Logits of the classifier, of all nodes in the order of :meth:`fit`; the promise
                is about those that neither :meth:`fit` nor the classifier has seen the label of.
                Shape ``[N, C]``.
            edge_index: See :meth:`fit`.
            knn: See :class:`SNAPS`.

        Returns:
            Whether a class is in the set of a node, ``bool``. Shape ``[N, C]``.

        Raises:
            RuntimeError: If :meth:`fit` was not called.
            TypeError: See :meth:`fit`.
            ValueError: See :meth:`fit`, or if there are more or fewer classes than there.
        """
        if bool(self.thresholds.isnan().any()):
            raise RuntimeError(f"this {type(self).__name__} must be fitted before it gives sets")
        scores = self.scores(logits, edge_index, knn=knn)
        if self.per_class and len(self.thresholds) != scores.size(1):
            raise ValueError(
                f"'logits' must have the {len(self.thresholds)} classes of the fit, got "
                f"{scores.size(1)}"
            )
        sets = scores <= self.thresholds.to(scores) + SLACK
        if self.top_class:
            sets.scatter_(1, logits.argmax(dim=1, keepdim=True), True)
        return sets

    def scores(
        self,
        logits: Tensor,
        edge_index: Adj | None = None,
        *,
        knn: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The scores that thresholds are compared with; see :class:`Score`. Shape ``[N, C]``.

        Raises:
            TypeError: See :meth:`fit`.
            ValueError: See :meth:`fit`.
        """
        logits = check_logits(logits)
        u = None
        if self.score.draws:
            u = draw(logits, seed=self.seed, per_rank=self.draws == "per rank")
        return self.score(logits, u, edge_index, knn=knn)

    def extra_repr(self) -> str:
        """Settings, for ``repr``."""
        return f"{self.score}, alpha={self.alpha}"


def draw(logits: Tensor, *, seed: int, per_rank: bool = False) -> Tensor:
    """Random numbers for :class:`Score`, the same ones for the same seed and number of nodes.

    Args:
        logits: Shape ``[N, C]``.
        seed: Of the generator, which is on the CPU for the same numbers on all devices.
        per_rank: One number per node and rank, else one per node.

    Returns:
        Uniform in ``[0, 1)``, ``float64``. Shape ``[N, C]`` or ``[N]``.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = logits.shape if per_rank else logits.shape[:1]
    return torch.rand(shape, dtype=torch.float64, generator=generator).to(logits.device)
