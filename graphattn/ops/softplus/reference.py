"""Definition of the ops of :mod:`graphattn.ops.softplus` in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import elu, softplus

from graphattn.ops.spmm.reference import spmm

__all__ = ["Propagated", "aero_propagate", "propagate", "softplus_attention"]

EPSILON = 1e-6  # of the authors' code, on every weight


class Propagated(NamedTuple):
    """What comes out of the steps of AERO-GNN."""

    z: Tensor
    """Sum of the states, weighted by hop. Shape ``[N, H, C]``."""
    hop_attention: Tensor
    """The weights. Shape ``[N, K + 1, H]``."""


def softplus_attention(z: Tensor, edge_index: Tensor, att: Tensor) -> Tensor:
    """See :func:`graphattn.ops.softplus_attention`."""
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

    def step(k: int, h: Tensor, z: Tensor) -> Tensor:
        return spmm(h, softplus_attention(z, edge_index, att[k]), edge_index, h.size(0))

    return propagate(x, hop_att_0, hop_att, hop_bias, decay, step).z


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
    h = x
    gamma = [(elu(h) * hop_att_0).sum(dim=-1) + hop_bias[0]]
    z = gamma[0].unsqueeze(-1) * h
    for k, factor in enumerate(decay):
        decayed = factor * z
        h = step(k, h, decayed)
        seen = torch.cat([h, decayed], dim=-1)
        gamma.append((elu(seen) * hop_att[k]).sum(dim=-1) + hop_bias[k + 1])
        z = z + gamma[-1].unsqueeze(-1) * h
    return Propagated(z, torch.stack(gamma, dim=1))
