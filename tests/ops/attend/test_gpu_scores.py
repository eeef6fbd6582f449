"""The Triton kernels take any score: a toy of their own, and all that the library has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from graphattn.ops import (
    DotScore,
    GATScore,
    GATv2Score,
    GivenScore,
    Kernel,
    Score,
    _triton,
    attend,
    use_implementation,
)
from graphattn.ops.attend import gpu
from graphattn.ops.attend.given_score import GivenWeight

if not _triton.interprets():
    pytest.skip(_triton.why_missing() or "Triton does not interpret here", allow_module_level=True)

import triton
import triton.language as tl

from graphattn.ops.attend.gpu_scores import FORMULAS, Formulas, Tiles


@dataclass(frozen=True, eq=False)
class DistanceScore(Score):
    src: Tensor
    dst: Tensor

    layout: ClassVar = {"src": "src H C", "dst": "dst H C"}
    kernel: ClassVar = Kernel("distance", nodes=("src", "dst"), same_channels=True)

    def of_edges(self, src: Tensor, dst: Tensor) -> Tensor:  # type: ignore[override]
        return -(src - dst).square().sum(dim=-1)


@triton.jit
def _score(tiles: Tiles, SETTING: tl.constexpr) -> tl.tensor:
    off = tiles.src - tiles.dst
    return -tl.sum(off * off, axis=2)


@triton.jit
def _d_src(d_score: tl.tensor, tiles: Tiles, SETTING: tl.constexpr) -> tl.tensor:
    return -2.0 * d_score[:, :, None] * (tiles.src - tiles.dst)


@triton.jit
def _d_dst(d_score: tl.tensor, tiles: Tiles, SETTING: tl.constexpr) -> tl.tensor:
    return 2.0 * d_score[:, :, None] * (tiles.src - tiles.dst)


def test_a_toy_score_is_a_line_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    formulas = Formulas(_score, d_src=_d_src, d_dst=_d_dst)
    monkeypatch.setitem(FORMULAS, "distance", formulas)
    monkeypatch.setattr(gpu, "PIECE", 4)
    torch.manual_seed(0)
    edges = torch.tensor([[0, 1, 2, 3, 0, 2, 1, 3], [1, 1, 1, 1, 1, 0, 2, 0]])
    values, src, dst = (torch.randn(4, 2, 3, dtype=torch.float64) for _ in range(3))
    found = []
    for implementation in ("gpu", "reference"):
        operands = [one.clone().requires_grad_() for one in (values, src, dst)]
        with use_implementation(implementation):
            out, alpha = attend(
                operands[0], DistanceScore(*operands[1:]), edges, return_weights=True
            )
        grads = torch.autograd.grad(out.sin().sum() + alpha.square().sum(), operands)
        found.append([out, alpha, *grads])
    for got, expected in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("score", [DotScore, GATScore, GATv2Score, GivenScore, GivenWeight])
def test_every_kernel_has_its_formulas(score: type[Score]) -> None:
    kernel = score.kernel
    assert kernel is not None
    formulas = FORMULAS[kernel.name]
    ends = [score.layout[name].split()[0] for name in kernel.nodes]
    takes_values = kernel.values is not None
    assert (formulas.d_src is not None) == (takes_values or "src" in ends)
    assert (formulas.d_dst is not None) == ("dst" in ends)
    assert (formulas.d_parameter is not None) == ("H" in ends)
