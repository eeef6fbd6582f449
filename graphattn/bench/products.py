"""Full-batch training of GAT on a graph as large as ogbn-products."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphattn.bench.case import Goal, Kinds, Lineup, Settings
from graphattn.bench.measuring import Contender
from graphattn.bench.memory import Usage, memory_of_process
from graphattn.nn import GATConv

__all__ = ["EDGES", "FEATURES", "NODES", "epoch_s", "lineup", "peak_gib", "power_law_edges"]

NODES, EDGES, FEATURES, CLASSES = 2_450_000, 126_000_000, 100, 47


def power_law_edges(num_nodes: int, num_edges: int) -> Tensor:
    """Both directions of edges between nodes that are drawn by a power law, always the same ones.

    A node is drawn in proportion to the inverse root of its rank, which makes the degrees follow
    a power law with the exponent 3; ranks are spread over the nodes. Parallel edges stay.

    Args:
        num_nodes: Number of nodes.
        num_edges: Number of directed edges; even.

    Returns:
        The edges in the order in which they were drawn. Shape ``[2, E]``, ``int32``.
    """
    generator = torch.Generator().manual_seed(0)
    half = num_edges // 2
    edges = torch.empty(2, 2 * half, dtype=torch.int32)
    size = 1 << 22
    for first in range(0, half, size):
        last = min(first + size, half)
        drawn = torch.rand(2, last - first, generator=generator, dtype=torch.float64)
        rank = (drawn.square() * num_nodes).long().clamp_(max=num_nodes - 1)
        # Hubs far from each other: a prime that divides no number of nodes of ours.
        node = (rank * 1_000_003 % num_nodes).int()
        edges[:, first:last] = node
        edges[:, half + first : half + last] = node.flip(0)
    return edges


class _Network(nn.Module):
    """Three layers of eight heads with eight channels, and a linear read-out."""

    def __init__(self) -> None:
        super().__init__()
        widths = (FEATURES, 64, 64)
        self.convs = nn.ModuleList([GATConv(width, 8, heads=8) for width in widths])
        self.act = nn.ELU(inplace=True)
        self.lin = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs:
            x = self.act(conv(x, edge_index))
        out: Tensor = self.lin(x)
        return out


def lineup(settings: Settings) -> Lineup:
    """Ours alone; a peer would need ten times the memory.

    Args:
        settings: Wishes of the user.
    """
    torch.manual_seed(0)
    nodes, edges = round(NODES * settings.scale), round(EDGES * settings.scale / 2) * 2
    edge_index = power_law_edges(nodes, edges)
    x, y = torch.randn(nodes, FEATURES), torch.randint(CLASSES, (nodes,))
    model = _Network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def forward() -> Tensor:
        optimizer.zero_grad()
        return cross_entropy(model(x, edge_index), y)

    def backward(loss: Tensor) -> None:
        torch.autograd.backward(loss)
        optimizer.step()

    def memory() -> Usage | None:
        # A graph, its prepared form and its features are a good part of it.
        return memory_of_process(forward, backward)

    contender = Contender(
        "graphattn, 3 x GATConv 8x8, Adam", "ours", forward, backward, edges=edges, memory=memory
    )
    largest = int(torch.bincount(edge_index[1], minlength=nodes).max())
    return Lineup(
        [contender], note=f"largest in-degree {largest:,}; memory is of the whole process"
    )


def epoch_s() -> Goal:
    """Seconds of an epoch."""
    return Goal("seconds an epoch", 60, 30, lambda rows: rows["ours"].ms / 1e3, at_most=True)


def peak_gib() -> Goal:
    """Memory of the process."""

    def peak(rows: Kinds) -> float | None:
        found = rows["ours"].peak_mb
        return None if found is None else found * 1e6 / 2**30

    return Goal("peak memory of the process, GiB", 12, 10, peak, at_most=True)
