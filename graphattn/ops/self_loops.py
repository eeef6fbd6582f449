"""One self-loop per node without touching the edges that are there."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphattn.ops.checks import check_count, check_edge_index
from graphattn.ops.kept import kept

__all__ = ["Looped", "append_self_loops", "looped"]


class Looped(NamedTuple):
    """Edges with self-loops behind them."""

    edge_index: Tensor
    """Sources and destinations. Shape ``[2, E + n]``."""
    counted: Tensor
    """Which of them count. Shape ``[E + n]``."""
    position: Tensor
    """Place of each in rows by destination; those that do not count stand behind all rows. Shape
    ``[E + n]``."""


def append_self_loops(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """Append a self-loop for each of the first nodes, and say which edges count.

    The input edges keep their order and come first. Of several loops at one node the first counts;
    the appended one counts only where the input has none. All shapes follow from the arguments, so
    this compiles without a graph break.

    Args:
        edge_index: Sources and destinations. Shape ``[2, E]``.
        num_nodes: Number of nodes ``n`` that shall have a loop: 0 to n - 1.

    Raises:
        TypeError: If ``edge_index`` does not hold ``int32`` or ``int64``.
        ValueError: If its shape is not ``[2, E]``, or ``num_nodes`` is negative.

    Returns:
        The edges with the loops behind them, shape ``[2, E + n]``, and a mask that is True for
        the edges that count, shape ``[E + n]``. Exactly one counted loop enters each of the nodes.

    Example:
        >>> edge_index, counted = append_self_loops(torch.tensor([[0, 1], [0, 0]]), 2)
        >>> edge_index.tolist(), counted.tolist()
        ([[0, 1, 0, 1], [0, 0, 0, 1]], [True, True, False, True])
    """
    edge_index = check_edge_index(edge_index)
    check_count(num_nodes, "num_nodes")
    src, dst = edge_index
    num_edges = edge_index.size(1)
    nodes = torch.arange(num_nodes, dtype=edge_index.dtype, device=edge_index.device)
    appended = torch.cat([edge_index, nodes.expand(2, -1)], dim=1)
    if num_nodes == 0:
        return appended, torch.ones_like(src, dtype=torch.bool)
    is_loop = (src == dst) & (dst < num_nodes)
    # Position of the first loop of each node; `num_edges` where there is none.
    position = torch.arange(num_edges, device=edge_index.device)
    first = position.new_full((num_nodes,), num_edges).scatter_reduce(
        0,
        torch.where(is_loop, dst, 0).long(),
        torch.where(is_loop, position, num_edges),
        reduce="amin",
    )
    is_first = first.index_select(0, torch.where(is_loop, dst, 0)) == position
    return appended, torch.cat([~is_loop | is_first, first == num_edges])


def looped(edge_index: Tensor, num_nodes: int) -> Looped:
    """What :func:`append_self_loops` returns, and the order of rows; kept beside the edge list.

    Args:
        edge_index: Sources and destinations. Shape ``[2, E]``.
        num_nodes: Number of nodes that shall have a loop.
    """
    if torch.compiler.is_compiling():
        return _loop(edge_index, num_nodes)
    return kept(edge_index, ("looped", num_nodes), lambda: _loop(edge_index, num_nodes))


def _loop(edge_index: Tensor, num_nodes: int) -> Looped:
    appended, counted = append_self_loops(edge_index, num_nodes)
    dst = appended[1]
    order = dst.masked_fill(~counted, torch.iinfo(dst.dtype).max).argsort(stable=True)
    places = torch.arange(dst.numel(), device=dst.device)
    return Looped(appended, counted, torch.empty_like(order).scatter(0, order, places))
