"""Dynamic score of GATv2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphattn.ops.attend.score import Kernel, Score

__all__ = ["GATv2Score"]


@dataclass(frozen=True, eq=False)
class GATv2Score(Score):
    r"""Score of GATv2 (https://arxiv.org/abs/2105.14491, equation 7).

    .. math::
        s_e = \mathbf{a}^{\top} \mathrm{LeakyReLU}(\mathbf{l}_j + \mathbf{r}_i + \mathbf{f}_e),
        \qquad e = (j \to i)

    The kernel sums :math:`\mathbf{l}`, as the layer does; to sum other values takes two passes.

    Args:
        src: Features :math:`\mathbf{l}` of the sources. Shape ``[N_src, H, C]``.
        dst: Features :math:`\mathbf{r}` of the destinations. Shape ``[N_dst, H, C]``.
        att: The scorer :math:`\mathbf{a}` of every head. Shape ``[H, C]``.
        edge_x: Features :math:`\mathbf{f}` of the edges, with rows for the self-loops behind those
            of the edges. Shape ``[E + num_self_loops, H, C]``.
        negative_slope: Slope of the LeakyReLU below zero.
    """

    src: Tensor
    dst: Tensor
    att: Tensor
    edge_x: Tensor | None = None
    negative_slope: float = 0.2

    layout: ClassVar = {"src": "src H C", "dst": "dst H C", "att": "H C", "edge_x": "edge H C"}
    kernel: ClassVar = Kernel(
        "gatv2",
        nodes=("dst", "att"),
        values="src",
        edge_x="edge_x",
        setting="negative_slope",
        same_channels=True,
        late=0,
        parameter=2,
    )

    def of_edges(  # type: ignore[override]
        self, src: Tensor, dst: Tensor, att: Tensor, edge_x: Tensor | None
    ) -> Tensor:
        """See :meth:`Score.of_edges`."""
        pair = src + dst
        if edge_x is not None:
            pair = pair + edge_x
        pair = pair.to(torch.promote_types(pair.dtype, torch.float32))
        return (leaky_relu(pair, self.negative_slope) * att).sum(dim=-1)
