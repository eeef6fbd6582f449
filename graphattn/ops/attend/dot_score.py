"""Scaled inner products, the score of Transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphattn.ops.attend.score import Kernel, Score

__all__ = ["DotScore"]


@dataclass(frozen=True, eq=False)
class DotScore(Score):
    r"""Score of Transformers on graphs (https://arxiv.org/abs/2009.03509, equation 3).

    .. math::
        s_e = \tau \, \mathbf{q}_i^{\top} (\mathbf{k}_j + \mathbf{f}_e) + b_e, \qquad e = (j \to i)

    What is summed over an edge is then :math:`\mathbf{v}_j + \mathbf{f}_e`.

    Args:
        query: :math:`\mathbf{q}` of the destinations. Shape ``[N_dst, H, C]``.
        key: :math:`\mathbf{k}` of the sources. Shape ``[N_src, H, C]``.
        edge_x: Transformed edge features :math:`\mathbf{f}`, part of keys and values alike, with
            rows for the self-loops behind those of the edges. Shape ``[E + num_self_loops, H, C]``.
        edge_score: Bias :math:`b` of an edge. Shape ``[E + num_self_loops, H]``.
        scale: The factor :math:`\tau`; :math:`1 / \sqrt{C}` if not given.
    """

    query: Tensor
    key: Tensor
    edge_x: Tensor | None = None
    edge_score: Tensor | None = None
    scale: float = None  # type: ignore[assignment]

    layout: ClassVar = {
        "query": "dst H C",
        "key": "src H C",
        "edge_x": "edge H C",
        "edge_score": "edge H",
    }
    kernel: ClassVar = Kernel(
        "dot",
        nodes=("key", "query"),
        edge_x="edge_x",
        edge_score="edge_score",
        setting="scale",
        same_channels=True,
        late=1,
    )
    value_edge_x: ClassVar = "edge_x"

    def __post_init__(self) -> None:
        if self.scale is None:
            object.__setattr__(self, "scale", 1.0 / math.sqrt(max(self.query.shape[-1], 1)))

    def of_edges(  # type: ignore[override]
        self, query: Tensor, key: Tensor, edge_x: Tensor | None, edge_score: Tensor | None
    ) -> Tensor:
        """See :meth:`Score.of_edges`."""
        if edge_x is not None:
            key = key + edge_x
        query = query.to(torch.promote_types(key.dtype, torch.float32))
        score = (query * key).sum(dim=-1) * self.scale
        return score if edge_score is None else score + edge_score
