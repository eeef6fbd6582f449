"""Definition of :func:`graphattn.ops.sample_neighbors` in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphattn.ops.sample.random import below, children, combine

__all__ = [
    "LONGEST_ROW",
    "NeighborSample",
    "bad_row",
    "bad_source",
    "draw",
    "long_row",
    "sample_neighbors",
]

LONGEST_ROW = 2**31 - 1
"""Most neighbours of a node from which some can be drawn."""


class NeighborSample(NamedTuple):
    """A subgraph around seeds; index tensors have the dtype of the graph it was taken from."""

    nodes: Tensor
    """Its nodes: the seeds in their order, then all others as they were met. Shape ``[N_s]``."""
    edge_index: Tensor
    """Sources and destinations as places in ``nodes``, by destination. Shape ``[2, E_s]``."""
    position: Tensor
    """Place of every edge in the rows of the graph. Shape ``[E_s]``."""
    num_sampled_nodes: list[int]
    """Number of seeds, then of the nodes that each hop added."""
    num_sampled_edges: list[int]
    """Number of edges of each hop."""


def sample_neighbors(
    rowptr: Tensor,
    col: Tensor,
    seeds: Tensor,
    num_neighbors: Sequence[int],
    replace: bool,
    seed: int,
) -> NeighborSample:
    """See :func:`graphattn.ops.sample_neighbors`."""
    num_nodes = rowptr.numel() - 1
    nodes, hops = seeds.long(), []
    place = torch.arange(seeds.numel(), device=rowptr.device)
    number = _first_places(nodes, num_nodes)
    # A seed that was there before is drawn for anew.
    counter = torch.where(number[nodes] == place, nodes, num_nodes + place)
    sizes, begin = [seeds.numel()], 0
    for hop, fan_out in enumerate(num_neighbors):
        keys = children(combine(seed, hop), counter)
        row, position = draw(rowptr, col, nodes[begin:], fan_out, replace, keys)
        source = col[position].long()
        _check_sources(source, position, num_nodes)
        dst, begin = begin + row, nodes.numel()
        new = source[number[source] < 0]
        new = new[_first_places(new, num_nodes)[new] == torch.arange(len(new), device=new.device)]
        number[new] = begin + torch.arange(new.numel(), device=rowptr.device)
        nodes, counter = torch.cat([nodes, new]), new
        sizes.append(new.numel())
        hops.append(torch.stack([number[source], dst, position]))
    src, dst, position = torch.cat(hops, dim=1).to(rowptr.dtype)
    edges = [edge.size(1) for edge in hops]
    return NeighborSample(nodes.to(rowptr.dtype), torch.stack([src, dst]), position, sizes, edges)


def draw(
    rowptr: Tensor, col: Tensor, nodes: Tensor, fan_out: int, replace: bool, keys: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw edges into nodes.

    Args:
        rowptr: First position of every destination. Shape ``[N + 1]``.
        col: Source of the edge at each position. Shape ``[E]``.
        nodes: Destinations, which may repeat. Shape ``[R]``, ``int64``.
        fan_out: Most edges of each; -1 takes all.
        replace: Draw with replacement.
        keys: Key of the random numbers of each, as :func:`children` gives them. Shape ``[R]``.

    Returns:
        The place in ``nodes`` of the destination of every edge, rising, and its position.
    """
    start, end = rowptr[nodes].long(), rowptr[nodes + 1].long()
    degree = end - start
    _check_rows(nodes, start, end, col.numel())
    whole = degree == 0 if replace else degree <= fan_out
    whole = torch.ones_like(whole) if fan_out < 0 else whole
    _check_lengths(nodes[~whole], degree[~whole])
    count = torch.where(whole, degree, fan_out)
    row = torch.repeat_interleave(count)
    place = torch.arange(row.numel(), device=row.device) - (count.cumsum(0) - count)[row]
    if not whole.all():
        picks = _with_replacement if replace else _without_replacement
        few = keys[~whole].unsqueeze(1), degree[~whole].unsqueeze(1)
        place[~whole[row]] = picks(*few, fan_out).flatten()
    return row, start[row] + place


def _with_replacement(key: Tensor, degree: Tensor, k: int) -> Tensor:
    """Places in rows of ``degree`` entries. Shape ``[R, k]``."""
    return below(children(key, torch.arange(k, device=key.device)), degree)


def _without_replacement(key: Tensor, degree: Tensor, k: int) -> Tensor:
    """As before, with Floyd's algorithm: every set of ``k`` places is equally likely.

    Draw ``d`` comes from the first ``degree - k + d + 1`` places, and is the last of these if what
    came is taken already.
    """
    draw = torch.arange(k, device=key.device)
    last = degree - k + draw
    picks = below(children(key, draw), last + 1)
    for d in range(1, k):
        taken = (picks[:, :d] == picks[:, d : d + 1]).any(dim=1)
        picks[:, d] = torch.where(taken, last[:, d], picks[:, d])
    return picks


def _first_places(nodes: Tensor, num_nodes: int) -> Tensor:
    """Where every node of the graph comes first in a list, and -1 where it does not come."""
    place = torch.arange(nodes.numel(), device=nodes.device)
    first = place.new_full((num_nodes,), -1)
    return first.scatter_reduce(0, nodes, place, "amin", include_self=False)


def _check_rows(nodes: Tensor, start: Tensor, end: Tensor, num_edges: int) -> None:
    bad = (start < 0) | (end < start) | (end > num_edges)
    if bad.any():
        i = int(bad.nonzero()[0])
        raise bad_row(int(nodes[i]), int(start[i]), int(end[i]), num_edges)


def _check_lengths(nodes: Tensor, degree: Tensor) -> None:
    bad = degree > LONGEST_ROW
    if bad.any():
        raise long_row(int(nodes[bad][0]), int(degree[bad][0]))


def _check_sources(source: Tensor, position: Tensor, num_nodes: int) -> None:
    bad = (source < 0) | (source >= num_nodes)
    if bad.any():
        raise bad_source(int(position[bad][0]), int(source[bad][0]), num_nodes)


def bad_row(node: int, start: int, end: int, num_edges: int) -> ValueError:
    """The error for entries of ``rowptr`` that bound no row."""
    return ValueError(
        f"'rowptr' must rise from 0 to {num_edges}, got {start} and {end} at node {node}"
    )


def long_row(node: int, degree: int) -> ValueError:
    """The error for a row that is too long to draw from."""
    return ValueError(
        f"'rowptr' must give at most {LONGEST_ROW} neighbours to draw from, "
        f"got {degree} at node {node}"
    )


def bad_source(position: int, source: int, num_nodes: int) -> ValueError:
    """The error for an entry of ``col`` that is no node."""
    return ValueError(
        f"'col' must lie in [0, {num_nodes}), one row per node; got {source} at position {position}"
    )
