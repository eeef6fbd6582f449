"""Scaled inner products, the attention of Transformers, along the edges of a graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphattn.ops._attend import Call, attend
from graphattn.ops._check import (
    check_bias,
    check_edge_index,
    check_self_loops,
    check_shape,
    check_values,
)
from graphattn.ops._dispatch import choose
from graphattn.ops._dropout import seed_of
from graphattn.ops.dot import reference

__all__ = ["dot_attend", "dot_attention"]


def dot_attention(
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    *,
    edge_x: Tensor | None = None,
    edge_score: Tensor | None = None,
    num_self_loops: int = 0,
    scale: float | None = None,
) -> Tensor:
    r"""Attention coefficients of a Transformer (https://arxiv.org/abs/2009.03509, equation 3).

    .. math::
        \alpha_e = \mathrm{softmax}_{e \in \mathrm{in}(i)} \bigl(\tau \,
        \mathbf{q}_i^{\top} (\mathbf{k}_j + \mathbf{f}_e) + b_e\bigr), \qquad e = (j \to i)

    Args:
        query: :math:`\mathbf{q}` of the destinations. Shape ``[N_dst, H, C]``.
        key: :math:`\mathbf{k}` of the sources. Shape ``[N_src, H, C]``.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        edge_x: Transformed edge features :math:`\mathbf{f}`, with rows for the self-loops behind
            those of the edges. Shape ``[E + num_self_loops, H, C]``.
        edge_score: Bias :math:`b` of an edge. Shape ``[E + num_self_loops, H]``.
        num_self_loops: The nodes 0 to ``num_self_loops - 1`` attend to themselves, once. A loop
            among the edges is taken where there is one; its further copies get the weight 0.
        scale: The factor :math:`\tau`; :math:`1 / \sqrt{C}` if not given.

    Returns:
        Coefficients of the edges in their order, then of the self-loops; 0 for the self-loop of a
        node that has one among its edges. Computed in ``float32`` at least.
        Shape ``[E + num_self_loops, H]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> query, key = torch.ones(2, 1, 4), torch.zeros(2, 1, 4)
        >>> dot_attention(query, key, torch.tensor([[0, 1], [1, 1]]))
        tensor([[0.5000],
                [0.5000]])
    """
    _check(query, key, edge_index, edge_x, edge_score, num_self_loops)
    return reference.dot_attention(
        query, key, edge_index, edge_x, edge_score, num_self_loops, _scale(scale, query)
    )


def dot_attend(
    value: Tensor,
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    *,
    edge_x: Tensor | None = None,
    edge_score: Tensor | None = None,
    num_self_loops: int = 0,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    bias: Tensor | None = None,
    donate: bool = False,
) -> Tensor:
    r"""Sum the sources' values with the weights of :func:`dot_attention`.

    .. math::
        \mathbf{o}_i = \sum_{e = (j \to i)} k_e \alpha_e \, (\mathbf{v}_j + \mathbf{f}_e) +
        \mathbf{b},

    where :math:`k_e` is 0 with probability ``dropout`` and :math:`1 / (1 - \mathrm{dropout})`
    otherwise. A node without an edge gets the bias alone.

    Args:
        value: :math:`\mathbf{v}` of the sources. Shape ``[N_src, H, C]``.
        query: See :func:`dot_attention`. Shape ``[N_dst, H, C]``.
        key: Shape ``[N_src, H, C]``.
        edge_index: Shape ``[2, E]``.
        edge_x: Part of keys and values alike. Shape ``[E + num_self_loops, H, C]``.
        edge_score: Shape ``[E + num_self_loops, H]``.
        num_self_loops: See :func:`dot_attention`.
        scale: See :func:`dot_attention`.
        dropout: Probability of dropping a coefficient, in ``[0, 1]``; pass 0 in evaluation.
        seed: Decides which coefficients are dropped, the same in every implementation. Drawn from
            torch's generator if not given. Shape ``[1]``, ``int64``.
        bias: Added to the sums before they are rounded. Shape ``[H, C]``, or ``[N_dst, H, C]`` for
            one of every destination.
        donate: Nobody else reads the operands of nodes, or a bias of destinations, nor does the
            backward of what made them, as that of another attention op would: backward may leave
            gradients in their place, where the graph is not kept, and needs no other memory of
            the size of nodes. Ignored where an implementation has no use for it.

    Returns:
        The sums, in the dtype of ``value``. Shape ``[N_dst, H, C]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.
    """
    _check(query, key, edge_index, edge_x, edge_score, num_self_loops, value=value, bias=bias)
    check_shape(value, "value", tuple(key.shape))
    check_bias(bias, query.size(0), key.shape[1:])
    seed = seed_of(dropout, seed, value.device)
    implementation = choose("dot_attend", value.device.type).implementation
    if implementation == "reference":
        return reference.dot_attend(
            value,
            query,
            key,
            edge_index,
            edge_x,
            edge_score,
            num_self_loops,
            _scale(scale, query),
            dropout,
            seed,
            bias,
        )
    dtype = torch.promote_types(value.dtype, torch.float32)
    return attend(
        Call(
            implementation,
            "dot",
            query.size(0),
            num_self_loops,
            _scale(scale, query),
            dropout,
            donate,
            edge_index,
            seed,
            edge_x=None if edge_x is None else edge_x.to(value.dtype),
            edge_score=None if edge_score is None else edge_score.to(dtype),
            bias=None if bias is None else bias.to(dtype),
            nodes=(value, key.to(value.dtype), query.to(value.dtype)),
        )
    )


def _scale(scale: float | None, query: Tensor) -> float:
    return 1.0 / math.sqrt(max(query.size(-1), 1)) if scale is None else scale


def _check(
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None,
    edge_score: Tensor | None,
    num_self_loops: int,
    **others: Tensor | None,
) -> None:
    check_values(edge_index, query=query, key=key, edge_x=edge_x, edge_score=edge_score, **others)
    check_shape(key, "key", (None, None, None))
    heads, channels = key.shape[1:]
    check_shape(query, "query", (None, heads, channels))
    check_edge_index(edge_index, num_src=key.size(0), num_dst=query.size(0))
    check_self_loops(num_self_loops, min(key.size(0), query.size(0)))
    rows = edge_index.size(1) + num_self_loops
    if edge_x is not None:
        check_shape(edge_x, "edge_x", (rows, heads, channels))
    if edge_score is not None:
        check_shape(edge_score, "edge_score", (rows, heads))
