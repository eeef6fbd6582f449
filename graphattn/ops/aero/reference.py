"""Definition of the ops of :mod:`graphattn.ops.aero` in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import elu, softplus

from graphattn.ops._segments import spmm

__all__ = ["Propagated", "aero_attention", "aero_propagate", "propagate", "propagate_from"]

EPSILON = 1e-6  # of the authors' code, on every weight


class Propagated(NamedTuple):
    """What comes out of the steps of AERO-GNN."""

    z: Tensor
    """Sum of the states, weighted by hop. Shape ``[N, H, C]``."""
    hop_attention: Tensor
    """The weights. Shape ``[N, K + 1, H]``."""


def aero_attention(z: Tensor, edge_index: Tensor, att: Tensor) -> Tensor:
    """See :func:`graphattn.ops.aero_attention`."""
    src, dst = edge_index
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    score = (elu(z.index_select(0, src) + z.index_select(0, dst)) * att.to(z.dtype)).sum(dim=-1)
    weight = softplus(score) + EPSILON
    total = weight.new_zeros(z.shape[:2]).index_add(0, dst, weight)
    # Where no edge enters, the root has no derivative.
    empty = total == 0.0
    scale = total.masked_fill(empty, 1.0).rsqrt().masked_fill(empty, 0.0)
    return weight * scale.index_select(0, src) * scale.index_select(0, dst)


def aero_propagate(
    x: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att_0: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    decay: Sequence[float],
) -> Tensor:
    """See :func:`graphattn.ops.aero_propagate`."""
    step = _step_along(edge_index, att)
    return propagate(x, hop_att_0, hop_att, hop_bias, decay, step).z


def propagate_from(
    x: Tensor,
    z: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    decay: Sequence[float],
) -> Tensor:
    """All steps from the first sum on.

    Args:
        x: See :func:`graphattn.ops.aero_propagate`; so are the others.
        z: The first sum. Shape ``[N, H, C]``.
        edge_index: Shape ``[2, E]``.
        att: Shape ``[K, H, C]``.
        hop_att: Shape ``[K, H, 2 C]``.
        hop_bias: Biases of the steps. Shape ``[K, H]``.
        decay: ``K`` numbers.
    """
    step = _step_along(edge_index, att)
    return _take_steps(x, z[..., 0], z, hop_att, hop_bias, decay, step).z


def _step_along(edge_index: Tensor, att: Tensor) -> Callable[[int, Tensor, Tensor], Tensor]:
    def step(k: int, h: Tensor, z: Tensor) -> Tensor:
        return spmm(h, aero_attention(z, edge_index, att[k]), edge_index, h.size(0))

    return step


def propagate(
    x: Tensor,
    hop_att_0: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    decay: Sequence[float],
    step: Callable[[int, Tensor, Tensor], Tensor],
) -> Propagated:
    """Take the steps of AERO-GNN, with any way to pass the states along the edges.

    Args:
        x: See :func:`graphattn.ops.aero_propagate`; so are the next four.
        hop_att_0: Shape ``[H, C]``.
        hop_att: Shape ``[K, H, 2 C]``.
        hop_bias: Shape ``[K + 1, H]``.
        decay: ``K`` numbers.
        step: Called with the number of the step, from 0, the last state and the decayed sum of all
            states, both ``[N, H, C]``; returns the next state.
    """
    gamma = (elu(x) * hop_att_0).sum(dim=-1) + hop_bias[0]
    return _take_steps(x, gamma, gamma.unsqueeze(-1) * x, hop_att, hop_bias[1:], decay, step)


def _take_steps(
    h: Tensor,
    gamma_0: Tensor,
    z: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    decay: Sequence[float],
    step: Callable[[int, Tensor, Tensor], Tensor],
) -> Propagated:
    gamma = [gamma_0]
    for k, factor in enumerate(decay):
        decayed = factor * z
        h = step(k, h, decayed)
        seen = torch.cat([h, decayed], dim=-1)
        gamma.append((elu(seen) * hop_att[k]).sum(dim=-1) + hop_bias[k])
        z = z + gamma[-1].unsqueeze(-1) * h
    return Propagated(z, torch.stack(gamma, dim=1))
