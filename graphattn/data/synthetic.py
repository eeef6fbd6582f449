"""Synthetic graphs of any size, with known homophily, degrees and feature signal."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

__all__ = ["csbm"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def csbm(
    num_nodes: int,
    *,
    num_classes: int = 2,
    average_degree: float = 10.0,
    homophily: float = 0.8,
    degree_law: Literal["poisson", "power"] = "poisson",
    exponent: float = 2.5,
    num_features: int = 16,
    signal: float = 1.0,
    undirected: bool = True,
    seed: int = 0,
) -> Data:
    r"""Contextual stochastic block model with degree correction.

    Nodes belong to classes of equal size. Each edge joins nodes of one class with probability
    ``homophily``, else of two, and takes each end with a probability proportional to its weight
    :math:`\theta`: all equal (degrees are close to Poisson), or a power law
    :math:`P(\theta > t) \propto t^{1 - \gamma}` with ``exponent`` :math:`\gamma`, cut off where
    hubs would get more neighbours than a simple graph can give them. There are no self-loops and
    no duplicates. Features are :math:`x_i = s \, \mu_{y_i} + \varepsilon_i` with random
    centres :math:`\lVert \mu_c \rVert = 1`, ``signal`` :math:`s` and standard normal noise.
    Half of the nodes train, a quarter each validate and test. Time and memory are linear in the
    number of edges, up to sorting them.

    Args:
        num_nodes: Number of nodes :math:`N`.
        num_classes: Number of classes.
        average_degree: Neighbours per node (undirected) or outgoing edges per node (directed). The
            number of edges is exact.
        homophily: Share of the edges within a class; exact up to rounding.
        degree_law: ``"poisson"`` or ``"power"``.
        exponent: Exponent of the power law, above 2.
        num_features: Number of features :math:`F`.
        signal: Length of the class centres, in standard deviations of the noise.
        undirected: Give each edge in both directions.
        seed: Seed; equal arguments give equal graphs.

    Returns:
        A graph with ``x`` of shape ``[N, F]``, ``edge_index`` sorted by source, ``y``, masks of
        shape ``[N]`` (True for the nodes that belong) and ``num_classes``.

    Raises:
        ValueError: If an argument is out of range, or so many edges don't fit.

    Example:
        >>> from torch_geometric.utils import homophily
        >>> data = csbm(1000, average_degree=8, homophily=0.25, seed=1)
        >>> data.num_edges, round(homophily(data.edge_index, data.y), 2)
        (8000, 0.25)
    """
    _check_arguments(num_nodes, num_classes, average_degree, homophily, exponent, signal)
    if degree_law not in ("poisson", "power"):
        raise ValueError(f"'degree_law' must be 'poisson' or 'power', got {degree_law!r}")
    rng = np.random.default_rng(seed)
    # Nodes are made in the order of their classes, so that a class is an interval, then shuffled.
    y = np.arange(num_nodes) * num_classes // num_nodes
    weight = _weights(num_nodes, average_degree, exponent if degree_law == "power" else None, rng)
    edges = round(num_nodes * average_degree / (2 if undirected else 1))
    within = round(homophily * edges)
    sampler = _EndSampler(y, weight, num_classes)
    pairs = np.concatenate(
        [
            _unique_pairs(sampler, within, True, undirected, rng),
            _unique_pairs(sampler, edges - within, False, undirected, rng),
        ],
        axis=1,
    )
    shuffled = rng.permutation(num_nodes)
    return _as_data(shuffled[pairs], y, shuffled, num_features, signal, undirected, rng)


def _check_arguments(
    num_nodes: int,
    num_classes: int,
    average_degree: float,
    homophily: float,
    exponent: float,
    signal: float,
) -> None:
    """Ranges of the arguments."""
    if num_classes < 1:
        raise ValueError(f"'num_classes' must be at least 1, got {num_classes}")
    if num_nodes < max(4, num_classes):
        raise ValueError(
            f"'num_nodes' must be at least 4 and at least 'num_classes' ({num_classes}), "
            f"got {num_nodes}"
        )
    if not average_degree >= 0:
        raise ValueError(f"'average_degree' must not be negative, got {average_degree}")
    if not 0 <= homophily <= 1 or (num_classes == 1 and homophily < 1):
        raise ValueError(
            f"'homophily' must be in [0, 1], and 1 for a single class, got {homophily}"
        )
    if not exponent > 2:
        raise ValueError(f"'exponent' must be above 2, got {exponent}")
    if not signal >= 0:
        raise ValueError(f"'signal' must not be negative, got {signal}")


def _weights(
    num_nodes: int, average_degree: float, exponent: float | None, rng: np.random.Generator
) -> Floats:
    """Expected degree of every node, up to a common factor."""
    if exponent is None:
        return np.ones(num_nodes)
    weight = rng.pareto(exponent - 1, num_nodes) + 1
    # The structural cut-off of the Chung-Lu model: above it two hubs would share several edges.
    cut: Floats = np.minimum(weight, weight.mean() * np.sqrt(num_nodes / max(average_degree, 1.0)))
    return cut


class _EndSampler:
    """Draws ends of edges by weight, all with one sorted table of cumulative weights."""

    def __init__(self, y: Integers, weight: Floats, num_classes: int) -> None:
        self.y = y
        self.num_classes = num_classes
        self.cumulative = np.concatenate([[0.0], np.cumsum(weight)])
        # Class c owns the nodes first[c] to first[c + 1].
        self.first = np.searchsorted(y, np.arange(num_classes + 1))

    def pairs(self, count: int, same: bool, rng: np.random.Generator) -> Integers:
        """``count`` pairs of nodes of one class, or of two different ones, shape ``[2, count]``."""
        src = self._nodes(np.zeros(count), np.full(count, self.cumulative[-1]), rng)
        label = self.y[src]
        if not same:
            label = (label + rng.integers(1, self.num_classes, count)) % self.num_classes
        start = self.cumulative[self.first[label]]
        end = self.cumulative[self.first[label + 1]]
        dst = self._nodes(start, end, rng)
        # Rounding at the end of an interval could reach into the next class.
        dst = np.clip(dst, self.first[label], self.first[label + 1] - 1)
        return np.stack([src, dst])

    def _nodes(self, start: Floats, end: Floats, rng: np.random.Generator) -> Integers:
        """One node for every interval of cumulative weight."""
        drawn = start + rng.random(len(start)) * (end - start)
        nodes = np.searchsorted(self.cumulative, drawn, side="right") - 1
        return np.minimum(nodes, len(self.y) - 1)


def _unique_pairs(
    sampler: _EndSampler, count: int, same: bool, undirected: bool, rng: np.random.Generator
) -> Integers:
    """Exactly ``count`` different pairs without self-loops, drawn until there are as many."""
    num_nodes = len(sampler.y)
    keys = np.empty(0, dtype=np.int64)
    for _ in range(100):
        missing = count - len(keys)
        if missing == 0:
            return np.stack([keys // num_nodes, keys % num_nodes])
        drawn = sampler.pairs(missing, same, rng)
        drawn = drawn[:, drawn[0] != drawn[1]]
        if undirected:
            drawn = np.sort(drawn, axis=0)
        # `np.unique` hashes, which is several times slower than numpy's sort of integers.
        keys = np.sort(np.concatenate([keys, drawn[0] * num_nodes + drawn[1]]))
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    kind = "within classes" if same else "between classes"
    raise ValueError(
        f"'average_degree' asks for {count} edges {kind}, which do not fit into {num_nodes} nodes"
    )


def _as_data(
    pairs: Integers,
    y: Integers,
    shuffled: Integers,
    num_features: int,
    signal: float,
    undirected: bool,
    rng: np.random.Generator,
) -> Data:
    """Features, labels and masks around the edges; ``shuffled`` is the new number of each node."""
    num_nodes = len(y)
    src, dst = np.concatenate([pairs, pairs[::-1]], axis=1) if undirected else pairs
    keys = np.sort(src * num_nodes + dst)
    labels = np.empty_like(y)
    labels[shuffled] = y
    centres = rng.standard_normal((int(y[-1]) + 1, num_features))
    centres *= signal / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    x = rng.standard_normal((num_nodes, num_features), dtype=np.float32)
    x += centres.astype(np.float32)[labels]
    data = Data(
        x=torch.from_numpy(x),
        edge_index=torch.from_numpy(np.stack([keys // num_nodes, keys % num_nodes])),
        y=torch.from_numpy(labels),
        num_classes=len(centres),
    )
    part = torch.from_numpy(rng.permutation(num_nodes) * 4 // num_nodes)
    data.train_mask, data.val_mask, data.test_mask = part < 2, part == 2, part == 3
    return data
