"""Calibration of parts of a graph: its edges, nodes of like degree, groups of nodes."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from torch import Tensor
from torch_geometric.typing import Adj

from graphattn._core.checks import check_choice, check_count
from graphattn.calibration.binning import (
    Binning,
    Closed,
    Norm,
    bins_of,
    check_binning,
    place_of,
)
from graphattn.calibration.outcome import edge_list, outcome_of

__all__ = [
    "Pairs",
    "degree_binned_gap",
    "edge_calibration_error",
    "group_calibration_error",
]

Pairs: TypeAlias = Literal["all", "agree", "disagree"]


def degree_binned_gap(
    probabilities: Tensor,
    y: Tensor,
    edge_index: Adj,
    *,
    mask: Tensor | None = None,
    num_bins: int = 10,
) -> float:
    r"""Gap between confidence and accuracy, averaged over nodes of like degree.

    Nodes are sorted by the number of edges that enter them and cut into bins of equal counts, of
    which the last one is smaller; the result is :math:`\sum_b \frac{n_b}{n} \left|
    \mathrm{conf}_b - \mathrm{acc}_b \right|`. It is what the code of `GETS
    <https://arxiv.org/abs/2410.09570>`_ and `WATS <https://arxiv.org/abs/2506.23782>`_ prints as
    calibration error, and **no** expected calibration error: nodes that are too sure and nodes that
    are not sure enough cancel out within a bin, so that it is hardly more than the overall gap.

    Args:
        probabilities: Softmax of the logits. Shape ``[N, C]``.
        y: Classes; only those in ``mask`` are looked at. Shape ``[N]``.
        edge_index: The graph in any form that layers take; an edge that comes twice counts twice,
            self-loops count. Shape ``[2, E]``.
        mask: Nodes that count; all if ``None``. Degrees are those of the whole graph. Shape
            ``[N]``, ``bool``.
        num_bins: Number of bins, two at least. Of nodes of equal degree, the first come first.

    Returns:
        The gap in ``[0, 1]``.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there are fewer than two bins, there is no node, rows are no distributions,
            a class is out of range, or an edge has an end that is no node.
    """
    check_count("num_bins", num_bins, least=2)
    outcome = outcome_of(probabilities, y, mask)
    num_nodes = probabilities.size(0)
    degree = np.bincount(edge_list(edge_index, num_nodes)[1], minlength=num_nodes)
    order = np.argsort(degree[outcome.nodes], kind="stable")
    place = np.empty_like(order)
    # As in the authors' code: the last bin has what is left, and there may be fewer bins.
    place[order] = np.arange(len(order)) // -(-len(order) // num_bins)
    return bins_of(place, outcome.confidence, outcome.correct, num_bins).error("l1")


def edge_calibration_error(
    probabilities: Tensor,
    y: Tensor,
    edge_index: Adj,
    num_bins: int = 15,
    *,
    mask: Tensor | None = None,
    pairs: Pairs = "all",
    bins: Binning = "width",
    closed: Closed = "left",
    norm: Norm = "l1",
) -> float:
    r"""Calibration error of pairs of nodes joined by an edge.

    A pair :math:`(i, j)` is right if both nodes are, and its confidence is :math:`c_i c_j`, the
    largest probability of two classes where nodes are independent of each other given the graph.
    From `"A Graph Is More Than Its Nodes" <https://arxiv.org/abs/2210.15575>`_ (edgewise, agree and
    disagree ECE), where nodes' distributions are all that a classifier gives.

    Args:
        probabilities: See :func:`~graphattn.calibration.expected_calibration_error`, as for what is
            not said here.
        y: Classes.
        edge_index: The graph in any form that layers take. Shape ``[2, E]``. A pair counts once
            whichever way and however often it is joined; self-loops do not count.
        num_bins: Number of bins.
        mask: Nodes that count; a pair counts if both its nodes do.
        pairs: All of them, or those whose classes ``"agree"`` or ``"disagree"``.
        bins: Kind of bins.
        closed: Side on which a border belongs to a bin.
        norm: How gaps are joined.

    Returns:
        The error in ``[0, 1]``.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there is no such pair, or see
            :func:`~graphattn.calibration.expected_calibration_error`.

    Note:
        The authors' code counts every column of ``edge_index``; on an undirected graph without
        duplicates the error is the same.
    """
    check_binning(num_bins, bins, closed, norm)
    check_choice("pairs", pairs, ("all", "agree", "disagree"))
    outcome = outcome_of(probabilities, y, mask)
    num_nodes = probabilities.size(0)
    row = np.full(num_nodes, -1)
    row[outcome.nodes] = np.arange(len(outcome.nodes))
    ends = np.sort(row[edge_list(edge_index, num_nodes)], axis=0)
    ends = ends[:, (ends[0] >= 0) & (ends[0] != ends[1])]
    # One number per pair is sorted much faster than pairs are.
    ends = np.stack(np.divmod(np.unique(ends[0] * num_nodes + ends[1]), num_nodes))
    if pairs != "all":
        ends = ends[:, (outcome.y[ends[0]] == outcome.y[ends[1]]) == (pairs == "agree")]
    if not ends.size:
        raise ValueError(f"'edge_index' must join nodes of 'mask' (pairs: {pairs!r}), got no pair")
    confidence = outcome.confidence[ends].prod(axis=0)
    place = place_of(confidence, num_bins, bins, closed)
    return bins_of(place, confidence, outcome.correct[ends].prod(axis=0), num_bins).error(norm)


def group_calibration_error(
    probabilities: Tensor,
    y: Tensor,
    groups: Tensor,
    num_bins: int = 15,
    *,
    mask: Tensor | None = None,
    bins: Binning = "width",
    closed: Closed = "left",
    norm: Norm = "l1",
) -> pd.DataFrame:
    """Calibration error of each of several groups of nodes.

    Args:
        probabilities: See :func:`~graphattn.calibration.expected_calibration_error`, as for what is
            not said here.
        y: Classes.
        groups: Group of every node, such as its class, community or distance. Shape ``[N]``,
            integers.
        num_bins: Number of bins.
        mask: Nodes that count.
        bins: Kind of bins.
        closed: Side on which a border belongs to a bin.
        norm: How gaps are joined.

    Returns:
        One row per group that has nodes, in rising order: ``group``, mean ``confidence``,
        ``accuracy``, ``gap`` (accuracy minus confidence: above zero, the classifier is not sure
        enough), ``count`` and ``ece``. Small groups have large errors by chance: look at ``count``.

    Raises:
        TypeError: If an input has another type.
        ValueError: If ``groups`` has another shape, or see
            :func:`~graphattn.calibration.expected_calibration_error`.
    """
    check_binning(num_bins, bins, closed, norm)
    outcome = outcome_of(probabilities, y, mask)
    num_nodes = probabilities.size(0)
    if not isinstance(groups, Tensor) or groups.is_floating_point() or groups.is_complex():
        kind = groups.dtype if isinstance(groups, Tensor) else type(groups).__name__
        raise TypeError(f"'groups' must be a tensor of integers, got {kind}")
    if list(groups.shape) != [num_nodes]:
        raise ValueError(f"'groups' must have shape [{num_nodes}], got {list(groups.shape)}")
    group_of = groups.cpu().long().numpy()[outcome.nodes]
    found, place = np.unique(group_of, return_inverse=True)
    errors = []
    for number in range(len(found)):
        part = outcome.take(np.flatnonzero(place == number))
        bin_of = place_of(part.confidence, num_bins, bins, closed)
        errors.append(bins_of(bin_of, part.confidence, part.correct, num_bins).error(norm))
    means = bins_of(place, outcome.confidence, outcome.correct, len(found)).means()
    means.insert(0, "group", found)
    return means.assign(ece=errors)
