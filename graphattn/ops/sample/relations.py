"""Sampling in graphs of several types, in disjoint trees, by weight and by time, in plain torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphattn.ops.sample.random import children, combine
from graphattn.ops.sample.reference import draw

__all__ = ["Relation", "RelationSample", "sample_relations"]

EdgeType = tuple[str, str, str]


@dataclass(frozen=True)
class Relation:
    """The edges of one type, sorted by destination."""

    rowptr: Tensor
    """First position of every destination. Shape ``[N_dst + 1]``."""
    col: Tensor
    """Source of the edge at each position. Shape ``[E]``."""
    weight: Tensor | None = None
    """How likely each edge is drawn, from 0, ``float64``; alike if ``None``. Shape ``[E]``."""
    time: Tensor | None = None
    """When each edge came to be. Shape ``[E]``."""


class RelationSample(NamedTuple):
    """A subgraph around seeds, by types of nodes and edges; all tensors are ``int64``."""

    nodes: dict[str, Tensor]
    """Its nodes: the seeds in their order, then all others as they were met. Shape ``[N_s]``."""
    trees: dict[str, Tensor]
    """The seed around which each node lies, where trees are disjoint; zeros elsewhere."""
    edge_index: dict[EdgeType, Tensor]
    """Sources and destinations as places in ``nodes``. Shape ``[2, E_s]``."""
    position: dict[EdgeType, Tensor]
    """Place of every edge in the rows of its relation. Shape ``[E_s]``."""
    num_sampled_nodes: dict[str, list[int]]
    """Number of seeds, then of the nodes that each hop added."""
    num_sampled_edges: dict[EdgeType, list[int]]
    """Number of edges of each hop."""


def sample_relations(
    relations: Mapping[EdgeType, Relation],
    num_nodes: Mapping[str, int],
    seeds: Mapping[str, Tensor],
    num_neighbors: Mapping[EdgeType, Sequence[int]],
    *,
    replace: bool = False,
    disjoint: bool = False,
    induced: bool = False,
    seed: int = 0,
    seed_time: Mapping[str, Tensor] | None = None,
    node_time: Mapping[str, Tensor] | None = None,
    last: bool = False,
) -> RelationSample:
    """Draw neighbours as :func:`graphattn.ops.sample_neighbors` does, in every relation of a graph.

    In every hop the nodes that the hop before added get edges from up to so many of their sources
    in each relation. By weight, a set is drawn one edge after the other, each in proportion to its
    weight among those left; an edge of weight 0 is never drawn, and taken only with all (-1).

    Args:
        relations: The edges by ``(source type, name, destination type)``.
        num_nodes: Number of nodes of every type.
        seeds: Nodes of some types. Shape ``[S]``.
        num_neighbors: Most neighbours to draw for a node in each hop, for every relation; -1 takes
            all.
        replace: Draw with replacement.
        disjoint: Give every seed a subgraph of its own; a node may then come in several.
        induced: Keep all edges between the sampled nodes (of the same tree) in place of the drawn.
        seed: Number in ``[0, 2**63)`` that picks the draw.
        seed_time: Latest time of what is drawn around each seed, for the types in ``seeds``; needs
            ``disjoint``. Without it nothing is left out.
        node_time: When the nodes of some types came to be. Shape ``[N]``.
        last: Take the latest neighbours rather than any; of equally late ones the last in a row.

    Returns:
        The subgraph. Without ``induced``, edges of a relation lie by hop and destination.

    Example:
        >>> cites = Relation(torch.tensor([0, 0, 2]), torch.tensor([0, 1]))
        >>> edge_type = ("author", "writes", "paper")
        >>> sample = sample_relations(
        ...     {edge_type: cites},
        ...     {"author": 2, "paper": 2},
        ...     {"paper": torch.tensor([1])},
        ...     {edge_type: [-1]},
        ... )
        >>> sample.nodes["author"].tolist(), sample.edge_index[edge_type].tolist()
        ([0, 1], [[0, 1], [0, 0]])
    """
    found = _seeded(seeds, num_nodes, disjoint)
    limit = None if seed_time is None else torch.cat([seed_time[name] for name in seeds])
    pieces: dict[EdgeType, list[Tensor]] = {key: [] for key in relations}
    sizes = {name: [len(part.nodes)] for name, part in found.items()}
    begin = dict.fromkeys(num_nodes, 0)
    hops = max(map(len, num_neighbors.values()), default=0)
    for hop in range(hops):
        end = {name: len(part.nodes) for name, part in found.items()}
        for number, (key, relation) in enumerate(relations.items()):
            src, _, dst = key
            rows = slice(begin[dst], end[dst])
            # Those of the first relation are the draws of `sample_neighbors`.
            random = children(combine(seed, number * hops + hop), found[dst].counter(rows))
            bounds = _Bounds.of(relation, found[dst].trees[rows], limit, (node_time or {}).get(src))
            row, position = _drawn(
                relation,
                found[dst].nodes[rows],
                num_neighbors[key][hop],
                replace,
                random,
                bounds,
                last,
            )
            source = relation.col[position].long()
            place = found[src].places(source, found[dst].trees[rows][row])
            pieces[key].append(torch.stack([place, begin[dst] + row, position]))
        for name, part in found.items():
            sizes[name].append(len(part.nodes) - end[name])
        begin = end
    if induced:
        pieces = {
            key: [_between(relation, found[key[0]], found[key[2]])]
            for key, relation in relations.items()
        }
    edges = {
        key: torch.cat(part, dim=1) if part else torch.empty(3, 0, dtype=torch.long)
        for key, part in pieces.items()
    }
    return RelationSample(
        {name: part.nodes for name, part in found.items()},
        {name: part.trees for name, part in found.items()},
        {key: edge[:2] for key, edge in edges.items()},
        {key: edge[2] for key, edge in edges.items()},
        sizes,
        {key: [piece.size(1) for piece in part] for key, part in pieces.items()},
    )


class _Found:
    """The nodes of one type that are in the subgraph, and where."""

    def __init__(self, nodes: Tensor, trees: Tensor, num_nodes: int, disjoint: bool) -> None:
        self.nodes, self.trees, self.num_nodes = nodes, trees, num_nodes
        self._numbers = _Sorted() if disjoint else _Table(num_nodes)
        key, place = self._key(nodes, trees), torch.arange(len(nodes))
        first = self._numbers.firsts(key)
        self._numbers.put(key[first], place[first])
        # A seed that was there before is drawn for anew.
        self._counter = torch.where(first, nodes, num_nodes + place) + 2 * num_nodes * trees

    def counter(self, rows: slice) -> Tensor:
        """Numbers by which the draws of nodes differ."""
        later = slice(len(self._counter), None)
        rest = self.nodes[later] + 2 * self.num_nodes * self.trees[later]
        return torch.cat([self._counter, rest])[rows]

    def places(self, nodes: Tensor, trees: Tensor) -> Tensor:
        """Where nodes are; those that are not there yet are appended in the order they come."""
        key = self._key(nodes, trees)
        place = self._numbers.find(key)
        new = place < 0
        if new.any():
            first = self._numbers.firsts(key[new])
            met = key[new][first]
            self._numbers.put(met, len(self.nodes) + torch.arange(len(met)))
            self.nodes = torch.cat([self.nodes, nodes[new][first]])
            self.trees = torch.cat([self.trees, trees[new][first]])
            place[new] = self._numbers.find(key[new])
        return place

    def find(self, nodes: Tensor, trees: Tensor) -> Tensor:
        """Where nodes are, and -1 for those that are not there."""
        return self._numbers.find(self._key(nodes, trees))

    def _key(self, nodes: Tensor, trees: Tensor) -> Tensor:
        return trees * self.num_nodes + nodes


class _Table:
    """Numbers of keys in ``[0, count)``, in an array of all."""

    def __init__(self, count: int) -> None:
        self._number = torch.full((count,), -1)

    def find(self, key: Tensor) -> Tensor:
        """The numbers of keys, and -1 where there is none."""
        return self._number[key]

    def firsts(self, key: Tensor) -> Tensor:
        """Which of these keys come for the first time; they are to be put next."""
        place = torch.arange(len(key))
        self._number.scatter_reduce_(0, key, place, "amin", include_self=False)
        return self._number[key] == place

    def put(self, key: Tensor, number: Tensor) -> None:
        """Number different keys."""
        self._number[key] = number


class _Sorted:
    """The same for any keys, in an array of those that have a number."""

    def __init__(self) -> None:
        self._known = self._number = torch.empty(0, dtype=torch.long)

    def find(self, key: Tensor) -> Tensor:
        if len(self._known) == 0:
            return torch.full_like(key, -1)
        at = torch.searchsorted(self._known, key).clamp_(max=len(self._known) - 1)
        return torch.where(self._known[at] == key, self._number[at], -1)

    def firsts(self, key: Tensor) -> Tensor:
        values, order = key.sort(stable=True)
        first = torch.ones_like(key, dtype=torch.bool)
        first[order[1:]] = values[1:] != values[:-1]
        return first

    def put(self, key: Tensor, number: Tensor) -> None:
        self._known, order = torch.cat([self._known, key]).sort()
        self._number = torch.cat([self._number, number])[order]


def _seeded(
    seeds: Mapping[str, Tensor], num_nodes: Mapping[str, int], disjoint: bool
) -> dict[str, _Found]:
    """The seeds; trees are numbered through all types."""
    found, tree = {}, 0
    for name in (*seeds, *(name for name in num_nodes if name not in seeds)):
        nodes = seeds[name].long() if name in seeds else torch.empty(0, dtype=torch.long)
        trees = torch.arange(tree, tree + len(nodes)) if disjoint else torch.zeros_like(nodes)
        found[name] = _Found(nodes, trees, num_nodes[name], disjoint)
        tree += len(nodes)
    return found


class _Bounds(NamedTuple):
    """Which edges come too late for a row."""

    times: Tensor
    by_edge: bool
    latest: Tensor
    """Shape ``[R]``."""

    @classmethod
    def of(
        cls, relation: Relation, trees: Tensor, limit: Tensor | None, node_time: Tensor | None
    ) -> _Bounds | None:
        times = node_time if relation.time is None else relation.time
        if limit is None or times is None:
            return None
        return cls(times, relation.time is not None, limit[trees])

    def time(self, relation: Relation, position: Tensor) -> Tensor:
        """When edges, or else their sources, came to be."""
        return self.times[position if self.by_edge else relation.col[position].long()]


def _drawn(
    relation: Relation,
    nodes: Tensor,
    fan_out: int,
    replace: bool,
    keys: Tensor,
    bounds: _Bounds | None,
    last: bool,
) -> tuple[Tensor, Tensor]:
    """Edges into ``nodes``: for each the place of its node, rising, and its position."""
    weight = None if fan_out < 0 else relation.weight
    if bounds is None and weight is None:
        return draw(relation.rowptr, relation.col, nodes, fan_out, replace, keys)
    row, position = draw(relation.rowptr, relation.col, nodes, -1, False, keys)
    keep = torch.ones_like(row, dtype=torch.bool) if weight is None else weight[position] > 0
    if bounds is not None:
        time = bounds.time(relation, position)
        keep &= time <= bounds.latest[row]
    if fan_out < 0:
        return row[keep], position[keep]
    row, position = row[keep], position[keep]
    if last and bounds is not None:
        chosen = _ranks(row, -time[keep].flip(0), flipped=True) < fan_out
        return row[chosen], position[chosen]
    share = torch.ones(len(row), dtype=torch.double) if weight is None else weight[position]
    if replace:
        chosen = _with_replacement(row, share, fan_out, keys)
    else:
        # The first of exponential waiting times at rates in proportion to the weights.
        offset = position - relation.rowptr[nodes].long()[row]
        wait = -_uniform(children(keys[row], offset)).log() / share
        chosen = _ranks(row, wait) < fan_out
    return row[chosen], position[chosen]


def _ranks(row: Tensor, value: Tensor, *, flipped: bool = False) -> Tensor:
    """Place of every entry among those of its row, by value; ``row`` rises.

    With ``flipped``, values are given from the last entry to the first, and of equal ones the last
    comes first.
    """
    entries = row.flip(0) if flipped else row
    order = value.argsort(stable=True)
    order = order[entries[order].argsort(stable=True)]
    count = torch.bincount(row)
    rank = torch.empty_like(row)
    rank[order] = torch.arange(len(row)) - (count.cumsum(0) - count)[entries[order]]
    return rank.flip(0) if flipped else rank


def _with_replacement(row: Tensor, share: Tensor, k: int, keys: Tensor) -> Tensor:
    """Entries drawn by share from every row that has any, by row. Shape ``[rows * k]``."""
    count = torch.bincount(row, minlength=len(keys))
    rows, end = count.nonzero().view(-1), count.cumsum(0)
    # Rows of equal weight in the running total, so that none drowns in it.
    total = (share / share.new_zeros(len(keys)).index_add(0, row, share)[row]).cumsum(0)
    begin, end = (end - count)[rows].unsqueeze(1), end[rows].unsqueeze(1)
    low = torch.cat([total.new_zeros(1), total])[begin]
    high = total[end - 1]
    point = _uniform(children(keys[rows].unsqueeze(1), torch.arange(k)))
    # Rounding may reach the end of a row, where the next one begins.
    target = (low + point * (high - low)).minimum(high.nextafter(low))
    return torch.searchsorted(total, target, right=True).flatten()


def _uniform(bits: Tensor) -> Tensor:
    """Numbers in ``(0, 1)``: the 52 high bits and a half over :math:`2^{52}`."""
    return (((bits >> 12) & (2**52 - 1)).double() + 0.5) * 2.0**-52


def _between(relation: Relation, src: _Found, dst: _Found) -> Tensor:
    """All edges of a relation between sampled nodes, by destination."""
    row, position = draw(relation.rowptr, relation.col, dst.nodes, -1, False, dst.nodes)
    source = relation.col[position].long()
    place = src.find(source, dst.trees[row])
    return torch.stack([place, row, position])[:, place >= 0]
