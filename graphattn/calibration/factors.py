"""Five reasons why graph neural networks are badly calibrated, each as a table.

From `"What Makes Graph Neural Networks Miscalibrated?" <https://arxiv.org/abs/2210.06391>`_,
section 4. Tables have a row per group of nodes with the mean ``confidence``, the ``accuracy``,
``gap`` (accuracy minus confidence: above zero, the classifier is not sure enough) and ``count``;
a group without nodes has NaN and a count of 0.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch_geometric.typing import Adj

from graphattn._core.checks import check_count
from graphattn.calibration.binning import bins_of
from graphattn.calibration.outcome import (
    Floats,
    Ints,
    Outcome,
    chosen_nodes,
    distributions,
    edge_list,
    outcome_of,
)

__all__ = [
    "distance_to_training",
    "diversity",
    "hops_to",
    "neighbor_similarity",
    "relative_confidence",
    "under_confidence",
]


def under_confidence(
    probabilities: Tensor, y: Tensor, *, mask: Tensor | None = None
) -> pd.DataFrame:
    """First factor: the classifier as a whole is not sure enough.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.

    Returns:
        One row with the ``group`` ``"all"``.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there is no node, rows are no distributions, or a class is out of range.

    Example:
        >>> probabilities = torch.tensor([[0.6, 0.4], [0.2, 0.8]])
        >>> under_confidence(probabilities, torch.tensor([0, 1])).round(2)
          group  confidence  accuracy  gap  count
        0   all         0.7       1.0  0.3      2
    """
    outcome = outcome_of(probabilities, y, mask)
    return _by_group(outcome, np.zeros_like(outcome.y), ["all"])


def diversity(
    probabilities: Tensor, y: Tensor, *, mask: Tensor | None = None, num_bins: int = 20
) -> pd.DataFrame:
    r"""Second factor: how sure the classifier is differs from node to node.

    Where the spread is large, one temperature for all nodes is not enough.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.
        num_bins: Number of bins of equal width, two at least.

    Returns:
        Two histograms, one below the other. ``quantity`` is ``"confidence"`` (largest probability)
        or ``"entropy"`` (of the distribution, divided by :math:`\log C`, so that it lies in
        ``[0, 1]``); ``lower`` and ``upper`` are the borders of a bin; ``share`` is the share of
        nodes in it and ``count`` their number, of which ``correct`` are right; ``mean`` and ``std``
        are those of the quantity over all nodes, the same in each of its rows.

    Raises:
        TypeError: See :func:`under_confidence`.
        ValueError: If there are fewer than two bins, or see :func:`under_confidence`.
    """
    check_count("num_bins", num_bins, least=2)
    outcome = outcome_of(probabilities, y, mask)
    p = outcome.probabilities
    logarithm = np.log(p, out=np.zeros_like(p), where=p > 0)
    quantities = {
        "confidence": outcome.confidence,
        "entropy": -(p * logarithm).sum(axis=1) / np.log(p.shape[1]),
    }
    borders = np.arange(num_bins + 1) / num_bins
    frames = []
    for quantity, value in quantities.items():
        place = _place(value, 0.0, 1.0, num_bins)
        sums = bins_of(place, value, outcome.correct, num_bins)
        frames.append(
            pd.DataFrame(
                {
                    "quantity": quantity,
                    "lower": borders[:-1],
                    "upper": borders[1:],
                    "share": sums.count / len(value),
                    "count": sums.count,
                    "correct": sums.correct.astype(np.int64),
                    "mean": value.mean(),
                    "std": value.std(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def distance_to_training(
    probabilities: Tensor,
    y: Tensor,
    edge_index: Adj,
    train_mask: Tensor,
    *,
    mask: Tensor | None = None,
) -> pd.DataFrame:
    """Third factor: calibration depends on the distance to the training nodes.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        edge_index: The graph in any form that layers take. Shape ``[2, E]``.
        train_mask: Nodes that the classifier was trained on. Shape ``[N]``, ``bool``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.

    Returns:
        Rows with the ``group`` ``"0"`` (the training nodes themselves), ``"1"``, ``"2"``, ``"3+"``
        hops along edges, and ``"unreachable"``.

    Raises:
        TypeError: See :func:`under_confidence`.
        ValueError: If there is no training node, an edge has an end that is no node, or see
            :func:`under_confidence`.
    """
    outcome = outcome_of(probabilities, y, mask)
    chosen_nodes(train_mask, probabilities.size(0), name="train_mask")
    hops = hops_to(edge_index, train_mask).numpy()[outcome.nodes]
    group = np.where(hops < 0, 4, np.minimum(hops, 3))
    return _by_group(outcome, group, ["0", "1", "2", "3+", "unreachable"])


def relative_confidence(
    probabilities: Tensor,
    y: Tensor,
    edge_index: Adj,
    *,
    mask: Tensor | None = None,
    num_bins: int = 20,
) -> pd.DataFrame:
    r"""Fourth factor: calibration depends on how sure neighbours are.

    The value of a node is :math:`c_i - \frac{1}{|\mathcal{N}(i)|} \sum_{j \in \mathcal{N}(i)} c_j`
    in ``[-1, 1]``, where neighbours are the nodes with an edge to it, each once and itself left
    out.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        edge_index: The graph in any form that layers take. Shape ``[2, E]``.
        mask: Nodes that count; all if ``None``. Neighbours are those of the whole graph. Shape
            ``[N]``, ``bool``.
        num_bins: Number of bins of equal width, two at least.

    Returns:
        One row per bin with its borders ``lower`` and ``upper`` and the mean ``value``, and a last
        row ``"no neighbours"`` for nodes that have none, with NaN for these.

    Raises:
        TypeError: See :func:`under_confidence`.
        ValueError: If there are fewer than two bins, an edge has an end that is no node, or see
            :func:`under_confidence`.
    """
    check_count("num_bins", num_bins, least=2)
    outcome = outcome_of(probabilities, y, mask)
    everyone = _of_all(probabilities)
    confidence = everyone.max(axis=1)
    adjacency = _adjacency(edge_list(edge_index, len(everyone)), len(everyone))[outcome.nodes]
    around, degree = adjacency @ confidence, adjacency.sum(axis=1)
    value = outcome.confidence - np.divide(
        around, degree, out=np.full_like(around, np.nan), where=degree > 0
    )
    return _by_value(outcome, value, -1.0, num_bins)


def neighbor_similarity(
    probabilities: Tensor,
    y: Tensor,
    edge_index: Adj,
    *,
    mask: Tensor | None = None,
    num_bins: int = 10,
) -> pd.DataFrame:
    """Fifth factor: calibration depends on how many neighbours are alike.

    The value of a node is the share of its neighbours whose most probable class is the node's own
    most probable class, where neighbours are the nodes with an edge to it, each once and itself
    left out.

    Args:
        probabilities: See :func:`relative_confidence`, as for the rest.
        y: Classes.
        edge_index: The graph.
        mask: Nodes that count.
        num_bins: Number of bins.

    Returns:
        See :func:`relative_confidence`.

    Raises:
        TypeError: See :func:`relative_confidence`.
        ValueError: See :func:`relative_confidence`.
    """
    check_count("num_bins", num_bins, least=2)
    outcome = outcome_of(probabilities, y, mask)
    predicted = _of_all(probabilities).argmax(axis=1)
    edges = edge_list(edge_index, len(predicted))
    adjacency = _adjacency(edges, len(predicted))
    src, dst = adjacency.indices, np.repeat(np.arange(len(predicted)), np.diff(adjacency.indptr))
    degree = np.diff(adjacency.indptr).astype(np.float64)
    same = predicted[src] == predicted[dst]
    alike = np.bincount(dst, same, len(predicted)).astype(np.float64)
    value = np.divide(alike, degree, out=np.full_like(alike, np.nan), where=degree > 0)
    return _by_value(outcome, value[outcome.nodes], 0.0, num_bins)


def hops_to(edge_index: Adj, mask: Tensor) -> Tensor:
    """How many edges lead from the nearest node of a mask to each node.

    Args:
        edge_index: The graph in any form that layers take; edges are followed from source to
            target. Shape ``[2, E]``.
        mask: Where to start. Shape ``[N]``, ``bool``.

    Returns:
        Number of edges, 0 in the mask and -1 where no path leads. Shape ``[N]``, ``int64``, on the
        CPU.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there is no node in the mask, or an edge has an end that is no node.

    Example:
        >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> hops_to(path, torch.tensor([False, True, False, False, False]))
        tensor([-1,  0,  1,  2, -1])
    """
    num_nodes = mask.numel() if isinstance(mask, Tensor) else 0
    start = chosen_nodes(mask, num_nodes).cpu().numpy()
    onward = _adjacency(edge_list(edge_index, num_nodes)[::-1], num_nodes)
    hops = dijkstra(onward, indices=start, unweighted=True, min_only=True)
    return torch.from_numpy(np.where(np.isfinite(hops), hops, -1).astype(np.int64))


def _of_all(probabilities: Tensor) -> Floats:
    """All rows, since a neighbour may lie outside the mask."""
    every = torch.arange(probabilities.size(0), device=probabilities.device)
    rows: Floats = distributions(probabilities, every).cpu().numpy()
    return rows


def _adjacency(edges: Ints, num_nodes: int) -> csr_array:
    """Ones at ``[dst, src]``, each edge once and without self-loops."""
    src, dst = edges[:, edges[0] != edges[1]]
    adjacency = csr_array((np.ones(len(src)), (dst, src)), shape=(num_nodes, num_nodes))
    # Values of edges that came twice were added.
    adjacency.sum_duplicates()
    adjacency.data[:] = 1
    return adjacency


def _place(value: Floats, lowest: float, highest: float, num_bins: int) -> Ints:
    """Bin of every value between two bounds, closed on the left."""
    place = np.floor((value - lowest) / (highest - lowest) * num_bins).astype(np.int64)
    return np.clip(place, 0, num_bins - 1)


def _by_value(outcome: Outcome, value: Floats, lowest: float, num_bins: int) -> pd.DataFrame:
    """Groups of nodes with like values in ``[lowest, 1]``, and at last those without a value."""
    known = ~np.isnan(value)
    group = np.full(len(value), num_bins)
    group[known] = _place(value[known], lowest, 1.0, num_bins)
    borders = lowest + (1 - lowest) * np.arange(num_bins + 1) / num_bins
    names = [f"[{low:.2f}, {high:.2f})" for low, high in pairwise(borders)]
    names[-1] = names[-1].replace(")", "]")
    frame = _by_group(outcome, group, [*names, "no neighbours"])
    mean = pd.Series(value[known]).groupby(group[known]).mean().reindex(range(num_bins + 1))
    frame.insert(1, "lower", [*borders[:-1], np.nan])
    frame.insert(2, "upper", [*borders[1:], np.nan])
    frame.insert(3, "value", mean.to_numpy())
    return frame


def _by_group(outcome: Outcome, group: Ints, names: list[str]) -> pd.DataFrame:
    frame = bins_of(group, outcome.confidence, outcome.correct, len(names)).means()
    frame.insert(0, "group", names)
    return frame
