"""What measures look at: probabilities and classes of the nodes that count, checked once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.typing import Adj

from graphattn.calibration.calibrator import check_logits
from graphattn.nn.conv._edges import as_edge_list
from graphattn.ops.checks import check_edge_index, check_nodes

__all__ = [
    "Floats",
    "Ints",
    "Outcome",
    "chosen_nodes",
    "distributions",
    "edge_list",
    "outcome_of",
    "outcome_of_logits",
]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """What a classifier said of ``M`` nodes and what they are, in ``float64``.

    Args:
        probabilities: Shape ``[M, C]``.
        y: Classes. Shape ``[M]``.
        log_true: Logarithms of the probabilities of the true classes, which logits tell better
            than probabilities do. Shape ``[M]``.
        confidence: Largest probabilities. Shape ``[M]``.
        correct: 1 where the most probable class, the first of equal ones, is the true one, else 0.
            Shape ``[M]``.
        nodes: Positions of the nodes among all. Shape ``[M]``.
    """

    probabilities: Floats
    y: Ints
    log_true: Floats
    confidence: Floats
    correct: Floats
    nodes: Ints

    def take(self, rows: Ints) -> Self:
        """The outcome of some nodes, in that order; one may come twice."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


def outcome_of(probabilities: Tensor, y: Tensor, mask: Tensor | None) -> Outcome:
    """Check probabilities and classes, and keep those of the nodes in a mask.

    Args:
        probabilities: Shape ``[N, C]``.
        y: Classes; only those in the mask are looked at. Shape ``[N]``.
        mask: Nodes that count; all if ``None``. Shape ``[N]``, ``bool``.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there is no node, a shape is wrong, a row is not a distribution, or a class
            is out of range.
    """
    nodes = chosen_nodes(mask, _num_rows("probabilities", probabilities))
    chosen = distributions(probabilities, nodes)
    truth = _classes(y, nodes, probabilities)
    log_true = chosen.gather(1, truth.unsqueeze(1)).squeeze(1).log()
    return _outcome(chosen, truth, log_true, nodes)


def distributions(probabilities: Tensor, nodes: Tensor) -> Tensor:
    """The rows of some nodes in ``float64``.

    Raises:
        ValueError: If one is no distribution.
    """
    chosen: Tensor = probabilities.detach()[nodes].double()
    # Rounding of half precision leaves more than a thousandth.
    slack = 1e-4 if torch.finfo(probabilities.dtype).bits > 16 else 1e-2
    wrong = ~((chosen >= 0).all(dim=1) & ((chosen.sum(dim=1) - 1).abs() <= slack))
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(
            "'probabilities' must be non-negative with rows that sum to one (the softmax of the "
            f"logits), got {chosen[row].tolist()} in row {int(nodes[row])}"
        )
    return chosen


def outcome_of_logits(logits: Tensor, y: Tensor, mask: Tensor | None) -> Outcome:
    """As :func:`outcome_of` of the softmax, without loss for very small probabilities.

    Raises:
        TypeError: If an input has another type.
        ValueError: If there is no node, a shape is wrong, logits are not finite or look like
            probabilities, or a class is out of range.
    """
    nodes = chosen_nodes(mask, _num_rows("logits", logits))
    logarithms = check_logits(logits.detach()[nodes]).double().log_softmax(dim=1)
    truth = _classes(y, nodes, logits)
    log_true = logarithms.gather(1, truth.unsqueeze(1)).squeeze(1)
    return _outcome(logarithms.exp(), truth, log_true, nodes)


def chosen_nodes(mask: Tensor | None, num_nodes: int, name: str = "mask") -> Tensor:
    """Positions of the nodes in a mask, of all for ``None``.

    Raises:
        TypeError: If the mask holds no ``bool``.
        ValueError: If its shape is not ``[num_nodes]``, or there is no node.
    """
    if mask is None:
        if not num_nodes:
            raise ValueError("there must be at least one node to measure, got none")
        return torch.arange(num_nodes)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"'{name}' must be a tensor of bool, got {kind}")
    if list(mask.shape) != [num_nodes]:
        raise ValueError(f"'{name}' must have shape [{num_nodes}], got {list(mask.shape)}")
    nodes: Tensor = mask.nonzero().squeeze(1)
    if not len(nodes):
        raise ValueError(f"'{name}' must have at least one node, got none")
    return nodes


def edge_list(edge_index: Adj, num_nodes: int) -> Ints:
    """Any form of ``edge_index`` as an array ``[2, E]``.

    Raises:
        TypeError: If it is none of the forms that layers take.
        ValueError: If its shape is wrong or an index is not a node.
    """
    edges = check_edge_index(as_edge_list(edge_index)[0]).cpu().long()
    check_nodes(edges, num_src=num_nodes, num_dst=num_nodes)
    array: Ints = edges.numpy()
    return array


def _num_rows(name: str, rows: Tensor) -> int:
    if not isinstance(rows, Tensor) or not rows.is_floating_point():
        kind = rows.dtype if isinstance(rows, Tensor) else type(rows).__name__
        raise TypeError(f"'{name}' must be a floating-point tensor, got {kind}")
    if rows.dim() != 2 or rows.size(1) < 2:
        raise ValueError(
            f"'{name}' must have shape [N, C] with at least two classes, got {list(rows.shape)}"
        )
    return rows.size(0)


def _classes(y: Tensor, nodes: Tensor, rows: Tensor) -> Tensor:
    num_nodes, num_classes = rows.shape
    if not isinstance(y, Tensor) or y.is_floating_point() or list(y.shape) != [num_nodes]:
        found = f"{list(y.shape)} {y.dtype}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"'y' must hold classes, integers of shape [{num_nodes}], got {found}")
    known = y[nodes].long()
    wrong = (known < 0) | (known >= num_classes)
    if bool(wrong.any()):
        raise ValueError(
            f"'y' must lie in [0, {num_classes}) where it is measured, got {int(known[wrong][0])}"
        )
    return known


def _outcome(chosen: Tensor, truth: Tensor, log_true: Tensor, nodes: Tensor) -> Outcome:
    p, y, log_true_array, places = (part.cpu().numpy() for part in (chosen, truth, log_true, nodes))
    correct = (p.argmax(axis=1) == y).astype(np.float64)
    return Outcome(p, y, log_true_array, p.max(axis=1), correct, places)
