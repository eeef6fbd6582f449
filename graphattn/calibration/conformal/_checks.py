"""Checks of what conformal methods are given."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.typing import Adj

from graphattn.calibration.calibrator import check_logits
from graphattn.nn.conv._edges import as_edge_list

__all__ = [
    "check_alpha",
    "check_edges",
    "check_fit",
    "check_labels",
    "check_mask",
    "check_sets",
]


def check_alpha(alpha: object) -> None:
    """Reject what is not a number above 0 and below 1.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of range.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        raise TypeError(f"'alpha' must be a number, got {alpha!r}")
    if not 0 < alpha < 1:
        raise ValueError(
            f"'alpha', the share of nodes whose set may miss the class, must lie between 0 and 1, "
            f"got {alpha!r}"
        )


def check_mask(name: str, mask: object, num_nodes: int) -> None:
    """Reject what does not choose at least one of the nodes.

    Raises:
        TypeError: If it is no tensor of ``bool``.
        ValueError: If its shape is not ``[num_nodes]`` or it is empty.
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"'{name}' must be a tensor of bool, got {kind}")
    if list(mask.shape) != [num_nodes]:
        raise ValueError(f"'{name}' must have shape [{num_nodes}], got {list(mask.shape)}")
    if not bool(mask.any()):
        raise ValueError(f"'{name}' must have at least one node, got none")


def check_labels(y: object, num_nodes: int, num_classes: int, **masks: Tensor) -> None:
    """Reject labels that are no classes on the nodes of a mask, and masks that share a node.

    Args:
        y: Shape ``[N]``; only looked at in the masks.
        num_nodes: ``N``.
        num_classes: ``C``.
        masks: Nodes whose labels are used, by the name of the argument. Shape ``[N]``.

    Raises:
        TypeError: If a mask is no tensor of ``bool``, or ``y`` no tensor of integers.
        ValueError: If a shape or a label is wrong, or a mask is empty or overlaps another.
    """
    if not isinstance(y, Tensor) or y.is_floating_point() or y.dtype == torch.bool:
        kind = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise TypeError(f"'y' must be a tensor of integers, got {kind}")
    if list(y.shape) != [num_nodes]:
        raise ValueError(f"'y' must have shape [{num_nodes}], got {list(y.shape)}")
    names = list(masks)
    for number, name in enumerate(names):
        check_mask(name, masks[name], num_nodes)
        known = y[masks[name]]
        wrong = (known < 0) | (known >= num_classes)
        if bool(wrong.any()):
            raise ValueError(
                f"'y' must lie in [0, {num_classes}) on '{name}', got {int(known[wrong][0])}"
            )
        for other in names[:number]:
            both = int((masks[name] & masks[other]).sum())
            if both:
                raise ValueError(
                    f"'{other}' and '{name}' must not overlap, got {both} node(s) in both"
                )


def check_sets(sets: object, y: object) -> None:
    """Reject what are not sets of classes, and a class for each.

    Args:
        sets: Shape ``[M, C]``, ``bool``, not empty.
        y: Shape ``[M]``, integers in ``[0, C)``.

    Raises:
        TypeError: If one is no tensor of its kind.
        ValueError: If a shape or a label is wrong.
    """
    if not isinstance(sets, Tensor) or sets.dtype != torch.bool:
        kind = sets.dtype if isinstance(sets, Tensor) else type(sets).__name__
        raise TypeError(f"'sets' must be a tensor of bool, got {kind}")
    if sets.dim() != 2 or sets.numel() == 0:
        raise ValueError(
            f"'sets' must have shape [M, C] with at least one node, got {list(sets.shape)}"
        )
    everyone = torch.ones(sets.size(0), dtype=torch.bool, device=sets.device)
    check_labels(y, sets.size(0), sets.size(1), sets=everyone)


def check_edges(edge_index: Adj | None, num_nodes: int, name: str = "edge_index") -> Tensor:
    """Reject what are no edges between the nodes.

    Returns:
        The edge list. Shape ``[2, E]``.

    Raises:
        TypeError: If it is no form of edges.
        ValueError: If it is missing, has another shape, or a node is out of range.
    """
    if edge_index is None:
        raise ValueError(f"'{name}' must be given, got None")
    edges, _ = as_edge_list(edge_index)
    if edges.dim() != 2 or edges.size(0) != 2 or edges.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"'{name}' must hold integers of shape [2, E], got {list(edges.shape)} {edges.dtype}"
        )
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < num_nodes:
        raise ValueError(
            f"'{name}' must lie in [0, {num_nodes}), one entry per node, got {int(edges.min())} to "
            f"{int(edges.max())}"
        )
    return edges


def check_fit(logits: Tensor, y: Tensor, cal_mask: Tensor, seen_mask: Tensor | None) -> Tensor:
    """Check what a conformal method is fitted on.

    Args:
        logits: Shape ``[N, C]``.
        y: Classes. Shape ``[N]``.
        cal_mask: Nodes to calibrate on. Shape ``[N]``.
        seen_mask: Nodes that must not be among them. Shape ``[N]``.

    Returns:
        The logits, in ``float32`` at least.

    Raises:
        TypeError: If an input has another type.
        ValueError: If an input is not fit for use.
    """
    logits = check_logits(logits)
    masks = {"cal_mask": cal_mask}
    if seen_mask is not None:
        masks["seen_mask"] = seen_mask
    check_labels(y, logits.size(0), logits.size(1), **masks)
    return logits
