"""A score and a layer that the library does not have get everything from the base and the contract.

What is written here is all there is to write: `tests/test_extending.py` puts the same into a copy
of the package, with a line in its tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphattn.nn import AttentionConv, Operands
from graphattn.ops import Score


@dataclass(frozen=True, eq=False)
class DistanceScore(Score):
    """Near nodes attend to each other."""

    src: Tensor
    dst: Tensor

    layout: ClassVar = {"src": "src H C", "dst": "dst H C"}

    def of_edges(self, src: Tensor, dst: Tensor) -> Tensor:  # type: ignore[override]
        return -(src - dst).square().sum(dim=-1)


class DistanceConv(AttentionConv):
    """Attend by distance in the space of one linear map."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            heads=heads,
            dropout=dropout,
            add_self_loops=False,
            **kwargs,
        )
        self.lin = self._linear(self.in_channels, self.heads * self.out_channels)
        self.reset_parameters()

    def operands(
        self,
        x_src: Tensor,
        x_dst: Tensor | None,
        edge_attr: Tensor | None,
        num_dst: int,
        *_: Any,
    ) -> Operands:
        src = self.lin(x_src).view(-1, self.heads, self.out_channels)
        dst = src if x_dst is x_src else self.lin(x_dst).view(-1, self.heads, self.out_channels)
        return Operands(src, DistanceScore(src, dst))


def by_definition(conv: DistanceConv, x: Tensor, edges: Tensor) -> Tensor:
    src, dst = edges
    z = conv.lin(x).view(-1, conv.heads, conv.out_channels)
    rows = []
    for i in range(len(x)):
        j = src[dst == i]
        alpha = (-(z[j] - z[i]).square().sum(dim=-1)).softmax(dim=0)
        rows.append((alpha.unsqueeze(-1) * z[j]).sum(dim=0).flatten())
    return torch.stack(rows) + conv.bias


def test_contract(layer_check: Callable[..., None]) -> None:
    layer_check(DistanceConv, definition=by_definition)
