"""Scores that are given per edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphattn.ops.attend.score import Kernel, Score

__all__ = ["GivenScore", "GivenWeight"]


@dataclass(frozen=True, eq=False)
class GivenScore(Score):
    r"""Scores that somebody else has computed; :math:`-\infty` gives the weight 0.

    Args:
        score: Scores of the edges, with rows for the self-loops behind those of the edges. Shape
            ``[E + num_self_loops, H]``.
    """

    score: Tensor

    layout: ClassVar = {"score": "edge H"}
    kernel: ClassVar = Kernel("given", edge_score="score")

    def of_edges(self, score: Tensor) -> Tensor:  # type: ignore[override]
        """See :meth:`Score.of_edges`."""
        return score.to(torch.promote_types(score.dtype, torch.float32))


@dataclass(frozen=True, eq=False)
class GivenWeight(GivenScore):
    """The same where the scores are the weights: what :func:`graphattn.ops.spmm` sums with."""

    kernel: ClassVar = Kernel("spmm", edge_score="score", softmax=False, record=0)
