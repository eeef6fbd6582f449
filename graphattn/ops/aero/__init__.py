"""Positive attention of AERO-GNN, symmetrically normalised, and its propagation over many steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphattn.ops._dispatch import choose
from graphattn.ops._transforms import takes_kernels
from graphattn.ops.aero import cpu, reference
from graphattn.ops.checks import check_edge_index, check_nodes, check_shape, check_values

__all__ = ["aero_attention", "aero_propagate"]


def aero_attention(z: Tensor, edge_index: Tensor, att: Tensor) -> Tensor:
    r"""Attention coefficients of AERO-GNN (https://arxiv.org/abs/2306.02376), as in its code.

    .. math::
        \alpha_e = \frac{u_e}{\sqrt{d_j} \sqrt{d_i}}, \qquad
        u_e = \mathrm{softplus}\bigl(\mathbf{a}^{\top}
        \mathrm{ELU}(\mathbf{z}_j + \mathbf{z}_i)\bigr) + 10^{-6}, \qquad
        d_i = \sum_{e' \in \mathrm{in}(i)} u_{e'}, \qquad e = (j \to i)

    They are positive, but do not sum to one over the edges of a node. Both roots are of sums over
    *incoming* edges: what a node without any sends gets the weight 0.

    Computed by torch's own ops in every implementation, whose bits may depend on the number of
    threads; :func:`aero_propagate` has kernels.

    Args:
        z: Features that are compared. Shape ``[N, H, C]``.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order;
            parallel edges count each.
        att: Scorer :math:`\mathbf{a}` of every head. Shape ``[H, C]``.

    Returns:
        Coefficients, in ``float32`` at least. Shape ``[E, H]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no real numbers in
            floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> z, att = torch.zeros(2, 1, 4), torch.ones(1, 4)
        >>> aero_attention(z, torch.tensor([[0, 1, 1], [1, 0, 1]]), att)
        tensor([[0.7071],
                [0.7071],
                [0.5000]])
    """
    check_shape(z, "z", (None, None, None))
    check_shape(att, "att", tuple(z.shape[1:]))
    edge_index = check_edge_index(edge_index)
    check_values(edge_index, z=z, att=att)
    check_nodes(edge_index, num_src=z.size(0), num_dst=z.size(0))
    return reference.aero_attention(z, edge_index, att)


def aero_propagate(
    x: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att_0: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    *,
    decay: Sequence[float],
) -> Tensor:
    r"""Propagate features over ``K`` steps with the edge and hop attention of AERO-GNN.

    From :math:`\mathbf{h}^{(0)} = \mathbf{x}` and :math:`\mathbf{z}^{(-1)}` absent, per head

    .. math::
        \mathbf{h}^{(k)}_i &= \sum_{e = (j \to i)} \alpha^{(k)}_e \mathbf{h}^{(k-1)}_j \\
        \gamma^{(k)}_i &= \mathbf{w}_k^{\top} \mathrm{ELU}\bigl(\mathbf{h}^{(k)}_i \,\Vert\,
        \lambda_{k-1} \mathbf{z}^{(k-1)}_i\bigr) + b_k \\
        \mathbf{z}^{(k)}_i &= \mathbf{z}^{(k-1)}_i + \gamma^{(k)}_i \mathbf{h}^{(k)}_i

    with the :func:`aero_attention` :math:`\alpha^{(k)}` of
    :math:`\lambda_{k-1} \mathbf{z}^{(k-1)}`; at :math:`k = 0` only
    :math:`\mathbf{h}^{(0)}` is scored. For the backward pass the native implementation keeps
    :math:`\mathbf{h}^{(k)}` and numbers per node and head of every step, nothing per edge.

    Args:
        x: Features :math:`\mathbf{x}`. Shape ``[N, H, C]``.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        att: Scorers of the edges, one per step. Shape ``[K, H, C]``.
        hop_att_0: Scorer :math:`\mathbf{w}_0`. Shape ``[H, C]``.
        hop_att: Scorers :math:`\mathbf{w}_1, \dots`. Shape ``[K, H, 2 C]``.
        hop_bias: Biases :math:`b_0, b_1, \dots`. Shape ``[K + 1, H]``.
        decay: Factors :math:`\lambda_0, \lambda_1, \dots`, one per step.

    Returns:
        The sums :math:`\mathbf{z}^{(K)}` in the dtype of ``x``, computed in ``float32`` at least.
        Shape ``[N, H, C]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no real numbers in
            floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> x, none = torch.ones(3, 1, 4), torch.zeros(0, 1, 4)
        >>> edge_index = torch.tensor([[0, 1], [1, 2]])
        >>> hop = (torch.zeros(1, 4), torch.zeros(0, 1, 8), torch.ones(1, 1))
        >>> torch.equal(aero_propagate(x, edge_index, none, *hop, decay=[]), x)
        True
    """
    check_shape(x, "x", (None, None, None))
    _, heads, channels = x.shape
    steps = len(decay)
    check_shape(att, "att", (steps, heads, channels))
    check_shape(hop_att_0, "hop_att_0", (heads, channels))
    check_shape(hop_att, "hop_att", (steps, heads, 2 * channels))
    check_shape(hop_bias, "hop_bias", (steps + 1, heads))
    weights = {"att": att, "hop_att_0": hop_att_0, "hop_att": hop_att, "hop_bias": hop_bias}
    edge_index = check_edge_index(edge_index)
    check_values(edge_index, x=x, **weights)
    dtype = torch.promote_types(x.dtype, torch.float32)
    operands = (
        x.to(dtype),
        edge_index,
        att.to(dtype),
        hop_att_0.to(dtype),
        hop_att.to(dtype),
        hop_bias.to(dtype),
    )
    fast = x.numel() > 0 and choose("aero_propagate", x.device.type).implementation == "cpu"
    if torch.compiler.is_compiling():
        fast = fast and not torch.compiler.is_exporting()
    else:
        fast = fast and takes_kernels(operands)
    if not fast:
        check_nodes(edge_index, num_src=x.size(0), num_dst=x.size(0))
    propagate = cpu.aero_propagate if fast else reference.aero_propagate
    return propagate(*operands, decay).to(x.dtype)
