"""Weighted sum of node features over edges."""

from __future__ import annotations

from torch import Tensor

from graphattn.ops._dispatch import choose
from graphattn.ops.attend.given_score import GivenWeight
from graphattn.ops.attend.request import Request
from graphattn.ops.checks import (
    check_count,
    check_edge_index,
    check_nodes,
    check_shape,
    check_values,
)
from graphattn.ops.spmm import scatter

__all__ = ["spmm"]


def spmm(x: Tensor, weight: Tensor, edge_index: Tensor, *, num_dst: int) -> Tensor:
    r"""Sum the features of the sources over the edges that enter a node, weighted per head.

    .. math::
        \mathbf{o}_{i,h} = \sum_{e = (j \to i)} w_{e,h} \, \mathbf{x}_{j,h}

    Sums are taken in ``float32`` when ``x`` is half precision. A node without an edge gets zero.

    Args:
        x: Features of the source nodes. Shape ``[N_src, H, C]``.
        weight: Weight of every edge. Shape ``[E, H]``.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        num_dst: Number of destination nodes.

    Returns:
        The sums, in the dtype of ``x``. Shape ``[N_dst, H, C]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> x = torch.tensor([[[1.0]], [[10.0]]])
        >>> spmm(x, torch.tensor([[0.5], [2.0]]), torch.tensor([[0, 1], [1, 1]]), num_dst=2)
        tensor([[[ 0.0000]],
        <BLANKLINE>
                [[20.5000]]])
    """
    edge_index = check_edge_index(edge_index)
    check_count(num_dst, "num_dst")
    check_shape(x, "x", (None, None, None))
    check_shape(weight, "weight", (edge_index.size(1), x.size(1)))
    check_values(edge_index, x=x, weight=weight)
    if choose("spmm", x.device.type).implementation == "scatter":
        check_nodes(edge_index, num_src=x.size(0), num_dst=num_dst)
        return scatter.spmm(x, weight, edge_index, num_dst)
    request = Request("spmm", GivenWeight(weight), edge_index, x.size(0), num_dst, values=x)
    return request.sums()
