"""Checks of what several calibrators are given."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.typing import Adj

from graphattn.nn.conv._edges import as_edge_list, check_matrix
from graphattn.ops.checks import check_edge_index, check_nodes

__all__ = ["check_classes", "check_edges"]


def check_classes(logits: Tensor, num_classes: int) -> None:
    """Check that logits have as many columns as a calibrator has classes.

    Raises:
        ValueError: If they have not.
    """
    if logits.size(1) != num_classes:
        raise ValueError(
            f"'logits' must have {num_classes} columns, the 'num_classes' of this calibrator, "
            f"got {logits.size(1)}"
        )


def check_edges(edge_index: Adj | None, num_nodes: int) -> Tensor:
    """Check a graph among the nodes of the logits.

    Args:
        edge_index: In any form that layers take.
        num_nodes: Number of nodes.

    Returns:
        Sources and destinations. Shape ``[2, E]``.

    Raises:
        TypeError: If it has another type.
        ValueError: If it has another shape, or an index is out of range.
    """
    if edge_index is None:
        raise ValueError("'edge_index' must be given, got None")
    edges, _ = as_edge_list(edge_index)
    check_matrix(edge_index, num_nodes, num_nodes, "source_to_target")
    edges = check_edge_index(edges)
    check_nodes(edges, num_src=num_nodes, num_dst=num_nodes)
    return edges
