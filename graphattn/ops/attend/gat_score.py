"""Additive score of GAT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphattn.ops.attend.score import Kernel, Score

__all__ = ["GATScore"]


@dataclass(frozen=True, eq=False)
class GATScore(Score):
    r"""Score of GAT (https://arxiv.org/abs/1710.10903, equations 1 to 3).

    .. math::
        s_e = \mathrm{LeakyReLU}(u_j + w_i + r_e), \qquad e = (j \to i)

    Args:
        src: The part :math:`u` of a source. Shape ``[N_src, H]``.
        dst: The part :math:`w` of a destination. Shape ``[N_dst, H]``.
        edge: The part :math:`r` of an edge, with rows for the self-loops behind those of the edges.
            Shape ``[E + num_self_loops, H]``.
        negative_slope: Slope of the LeakyReLU below zero.
    """

    src: Tensor
    dst: Tensor
    edge: Tensor | None = None
    negative_slope: float = 0.2

    layout: ClassVar = {"src": "src H", "dst": "dst H", "edge": "edge H"}
    kernel: ClassVar = Kernel(
        "gat", nodes=("src", "dst"), edge_score="edge", setting="negative_slope", record=4
    )

    def of_edges(self, src: Tensor, dst: Tensor, edge: Tensor | None) -> Tensor:  # type: ignore[override]
        """See :meth:`Score.of_edges`."""
        score = src + dst
        if edge is not None:
            score = score + edge
        score = score.to(torch.promote_types(score.dtype, torch.float32))
        return leaky_relu(score, self.negative_slope)
