"""What GATS reads off logits and a graph, once for all values of its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, one_hot
from torch_geometric.typing import Adj

from graphattn.nn.conv._edges import as_edge_list, check_matrix
from graphattn.ops.checks import check_edge_index, check_nodes

__all__ = ["EdgesInto", "NodesOf"]

MOST_EDGES = 1 << 24
"""Edges that are sorted and gathered at a time."""
BLOCK = 1 << 22
"""Numbers that are gathered at a time."""
NEGATIVE_SLOPE = 0.2
"""Of the LeakyReLU of scores; fixed in the authors' code."""
DISTANCES = 3
"""Distances from training nodes that are told apart: 0, 1, and all others."""


class EdgesInto(NamedTuple):
    """Edges into some nodes, with one self-loop for each of these.

    They are sorted by the distances of their sources and destinations from the training nodes, so
    that the factors of a score are the same for all edges between two ends; then by destination.
    """

    edge_index: Tensor
    """Sources and destinations. Shape ``[2, E]``, ``int32``."""
    dots: Tensor
    r""":math:`\langle \mathbf{z}_j, \mathbf{z}_i \rangle` of every edge. Shape ``[E]``."""
    ends: list[int]
    """Where the edges end that lead from distance ``a`` to distance ``b``, at ``3 a + b``."""

    def scores(self, gamma: Tensor) -> Tensor:
        """Scores of the edges.

        Args:
            gamma: Factors of the three distances. Shape ``[3]``.

        Returns:
            Shape ``[E, 1]``.
        """
        factors = (1 / torch.outer(gamma, gamma)).flatten()
        pieces, begin = [], 0
        for factor, end in zip(factors.unbind(), self.ends, strict=True):
            if end > begin:
                scaled = self.dots[begin:end] * factor
                pieces.append(leaky_relu(scaled, NEGATIVE_SLOPE, inplace=True))
            begin = end
        return torch.cat(pieces).unsqueeze(1)


@dataclass(frozen=True, eq=False)
class NodesOf:
    """What follows for nodes from their logits, a graph and the training nodes."""

    logits: Tensor
    """Shape ``[N, C]``."""
    edge_index: Tensor
    """The edges as they came. Shape ``[2, E]``."""
    spread: Tensor
    r""":math:`\mathbf{u}_i`: every row of logits from 0 to 1, ascending; 0 where all are equal.
    Shape ``[N, C]``."""
    relative: Tensor
    r""":math:`D_i / \deg_i`: how much more confident a node is than the sources of its edges,
    summed, by the number of edges that leave it. Shape ``[N]``."""
    distance: Tensor
    """Hops from the next training node: 0, 1, or 2 for all others. Shape ``[N]``."""
    is_at: Tensor
    """The same as rows of zeros and a one, in the type of logits. Shape ``[N, 3]``."""

    @staticmethod
    def read(logits: Tensor, edge_index: Adj, train_mask: Tensor | None) -> NodesOf:
        """Read what there is.

        Args:
            logits: Shape ``[N, C]``.
            edge_index: The graph, in any form that layers take.
            train_mask: Nodes that the classifier was trained on. Shape ``[N]``.

        Raises:
            TypeError: If ``edge_index`` or ``train_mask`` has another type.
            ValueError: If one has another shape, or an index is out of range.
        """
        nodes = logits.size(0)
        edges, _ = as_edge_list(edge_index)
        check_matrix(edge_index, nodes, nodes, "source_to_target")
        edges = check_edge_index(edges)
        check_nodes(edges, num_src=nodes, num_dst=nodes)
        train_mask = _checked(train_mask, nodes)

        ascending = logits.sort(dim=1).values
        low, high = ascending[:, :1], ascending[:, -1:]
        width = torch.where(high > low, high - low, 1)
        confidence = logits.softmax(dim=1).amax(dim=1)
        more = torch.zeros_like(confidence)
        degree = torch.ones_like(confidence)
        is_near = torch.zeros_like(train_mask)
        for src, dst in zip(*(ends.split(BLOCK) for ends in edges), strict=True):
            # One order of sums for all numbers of threads; a self-loop of the input adds nothing.
            more.index_add_(
                0, dst, confidence.index_select(0, dst) - confidence.index_select(0, src)
            )
            degree.index_add_(0, src, (src != dst).to(degree))
            is_near[dst[train_mask.index_select(0, src)].long()] = True
        distance = torch.where(train_mask, 0, torch.where(is_near, 1, 2))
        is_at = one_hot(distance, DISTANCES).to(logits)
        spread = (ascending - low) / width
        return NodesOf(logits, edges, spread, more / degree, distance, is_at)

    def edges_into(self, nodes: Tensor) -> Iterator[EdgesInto]:
        """All edges into some nodes, without self-loops of the input, with one for each node.

        Args:
            nodes: Which nodes. Shape ``[N]``, ``bool``.

        Returns:
            The edges in parts; all edges into a node are in one of them.
        """
        if not bool(nodes.any()):
            return
        incoming = torch.bincount(self.edge_index[1], minlength=len(nodes)) + 1
        part = incoming.masked_fill(~nodes, 0).cumsum(0) // MOST_EDGES
        for number in torch.unique_consecutive(part[nodes]).tolist():
            yield self._edges_into(nodes & (part == number))

    def _edges_into(self, nodes: Tensor) -> EdgesInto:
        src, dst = self.edge_index
        taken = (nodes.index_select(0, dst) & (src != dst)).nonzero().squeeze(1)
        loops = nodes.nonzero().squeeze(1).int()
        src = torch.cat([src.index_select(0, taken).int(), loops])
        dst = torch.cat([dst.index_select(0, taken).int(), loops])
        del taken
        pair = DISTANCES * self.distance.index_select(0, src)
        pair += self.distance.index_select(0, dst)
        ends = torch.bincount(pair, minlength=DISTANCES**2).cumsum(0).tolist()
        order = pair.mul_(len(nodes)).add_(dst).argsort(stable=True)
        del pair
        edge_index = torch.stack([src.index_select(0, order), dst.index_select(0, order)])
        return EdgesInto(edge_index, self._dots(edge_index), ends)

    def _dots(self, edge_index: Tensor) -> Tensor:
        z = self.logits
        blocks = torch.split(edge_index, max(1, BLOCK // z.size(1)), dim=1)
        dots = [(z.index_select(0, src) * z.index_select(0, dst)).sum(1) for src, dst in blocks]
        return torch.cat(dots)


def _checked(train_mask: Tensor | None, nodes: int) -> Tensor:
    if not isinstance(train_mask, Tensor) or train_mask.dtype != torch.bool:
        kind = train_mask.dtype if isinstance(train_mask, Tensor) else type(train_mask).__name__
        raise TypeError(f"'train_mask' must be a tensor of bool, got {kind}")
    if list(train_mask.shape) != [nodes]:
        shape = list(train_mask.shape)
        raise ValueError(f"'train_mask' must have shape [{nodes}], got {shape}")
    return train_mask
