"""The scores and their derivatives in Triton: all that the kernels know of a score.

A score is a few functions on tiles of its operands, which a kernel is handed as compile-time
constants; what they don't use of a tile is never loaded, since the compiler drops it. Importing
this module imports triton.

===== ================= ================= ============= ==========================================
name  src               dst               parameter     score
===== ================= ================= ============= ==========================================
gat   ``[N_src, H]``    ``[N_dst, H]``                  leaky_relu(src + dst + edge_score)
gatv2 the values        ``[N_dst, H, C]`` ``[H, C]``    <parameter, leaky_relu(x + dst + edge_x)>
dot   ``[N_src, H, C]`` ``[N_dst, H, C]``               setting <dst, src + edge_x> + edge_score
given                                                   edge_score
spmm                                                    edge_score is the weight itself
===== ================= ================= ============= ==========================================
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

__all__ = ["FORMULAS", "Formulas", "Tiles"]


class Tiles(NamedTuple):
    """The operands of a block of edges, in the type in which everything is computed.

    Wide ones have the shape ``[BE, BH, BC]``, others ``[BE, BH]``; ``BE`` is 1 where all edges of
    the block share a row. One that is not there is ``None``.
    """

    x: Any
    """Features of sources, to be summed."""
    src: Any
    """What the score takes of a source besides."""
    dst: Any
    """What it takes of a destination."""
    parameter: Any
    """The same for all edges."""
    edge_x: Any
    """Features of edges."""
    edge_score: Any
    """A number per edge and head."""


class Formulas(NamedTuple):
    """A score and its derivatives, functions that ``triton.jit`` made.

    All take tiles and the setting of the score, derivatives the gradient of the score before. That
    of ``edge_x`` is ``d_src``, to whose operand it is added.
    """

    score: Any
    """The scores. Shape ``[BE, BH]``."""
    d_edge: Any = None
    """Gradient behind an activation, that of ``edge_score``, and what the others below are given;
    ``None`` where there is no activation."""
    d_src: Any = None
    """Gradient of the operand of sources by edge; of the values, if there is no such operand."""
    d_dst: Any = None
    """Gradient of the operand of destinations by edge."""
    d_parameter: Any = None
    """Gradient of the parameter by edge. Shape ``[BE, BH, BC]``."""
    finish_dst: Any = None
    """Of a sum of ``d_dst`` and the setting the gradient; ``None`` where the sum is."""


@triton.jit
def _leaky(z: tl.tensor, SLOPE: tl.constexpr) -> tl.tensor:
    return tl.where(z > 0, z, z * SLOPE)


# GAT


@triton.jit
def _gat_sum(tiles: Tiles) -> tl.tensor:
    total = tiles.src + tiles.dst
    if tiles.edge_score is not None:
        total += tiles.edge_score
    return total


@triton.jit
def _gat_score(tiles: Tiles, SLOPE: tl.constexpr) -> tl.tensor:
    return _leaky(_gat_sum(tiles), SLOPE)


@triton.jit
def _gat_d_edge(d_score: tl.tensor, tiles: Tiles, SLOPE: tl.constexpr) -> tl.tensor:
    return tl.where(_gat_sum(tiles) > 0, d_score, d_score * SLOPE)


@triton.jit
def _gat_d_node(d_edge: tl.tensor, tiles: Tiles, SLOPE: tl.constexpr) -> tl.tensor:
    return d_edge


# GATv2


@triton.jit
def _gatv2_sum(tiles: Tiles) -> tl.tensor:
    total = tiles.x + tiles.dst
    if tiles.edge_x is not None:
        total += tiles.edge_x
    return total


@triton.jit
def _gatv2_score(tiles: Tiles, SLOPE: tl.constexpr) -> tl.tensor:
    return tl.sum(tiles.parameter * _leaky(_gatv2_sum(tiles), SLOPE), axis=2)


@triton.jit
def _gatv2_d_node(d_score: tl.tensor, tiles: Tiles, SLOPE: tl.constexpr) -> tl.tensor:
    d_leaky = d_score[:, :, None] * tiles.parameter
    return tl.where(_gatv2_sum(tiles) > 0, d_leaky, d_leaky * SLOPE)


@triton.jit
def _gatv2_d_parameter(d_score: tl.tensor, tiles: Tiles, SLOPE: tl.constexpr) -> tl.tensor:
    return d_score[:, :, None] * _leaky(_gatv2_sum(tiles), SLOPE)


# Scaled inner products


@triton.jit
def _dot_key(tiles: Tiles) -> tl.tensor:
    key = tiles.src
    if tiles.edge_x is not None:
        key += tiles.edge_x
    return key


@triton.jit
def _dot_score(tiles: Tiles, SCALE: tl.constexpr) -> tl.tensor:
    score = tl.sum(tiles.dst * _dot_key(tiles), axis=2) * SCALE
    if tiles.edge_score is not None:
        score += tiles.edge_score
    return score


@triton.jit
def _dot_d_src(d_score: tl.tensor, tiles: Tiles, SCALE: tl.constexpr) -> tl.tensor:
    return (d_score * SCALE)[:, :, None] * tiles.dst


@triton.jit
def _dot_d_dst(d_score: tl.tensor, tiles: Tiles, SCALE: tl.constexpr) -> tl.tensor:
    return d_score[:, :, None] * _dot_key(tiles)


@triton.jit
def _dot_finish_dst(sums: tl.tensor, SCALE: tl.constexpr) -> tl.tensor:
    return sums * SCALE


# Given scores and weights


@triton.jit
def _given_score(tiles: Tiles, SETTING: tl.constexpr) -> tl.tensor:
    return tiles.edge_score


FORMULAS = {
    "gat": Formulas(_gat_score, d_edge=_gat_d_edge, d_src=_gat_d_node, d_dst=_gat_d_node),
    "gatv2": Formulas(
        _gatv2_score, d_src=_gatv2_d_node, d_dst=_gatv2_d_node, d_parameter=_gatv2_d_parameter
    ),
    "dot": Formulas(_dot_score, d_src=_dot_d_src, d_dst=_dot_d_dst, finish_dst=_dot_finish_dst),
    "given": Formulas(_given_score),
    "spmm": Formulas(_given_score),
}
"""By ``Kernel.name``."""
