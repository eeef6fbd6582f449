"""Subgraphs of sampled neighbours around seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphattn.ops._dispatch import choose
from graphattn.ops.checks import check_shape, plain
from graphattn.ops.sample import cpu, reference
from graphattn.ops.sample.reference import NeighborSample

__all__ = ["NeighborSample", "checked_fan_outs", "sample_neighbors"]

_MOST = 2**31 - 1


def sample_neighbors(
    rowptr: Tensor,
    col: Tensor,
    seeds: Tensor,
    num_neighbors: Sequence[int],
    *,
    replace: bool = False,
    seed: int = 0,
) -> NeighborSample:
    """Draw neighbours of seeds, then of the nodes so reached, and number the subgraph anew.

    In every hop the nodes that the hop before added (the seeds at first) get edges from up to so
    many of their sources; each node is expanded once. All neighbours are taken, in their order,
    where there are no more than that. Draws are independent between nodes. Without replacement
    every set of neighbours is equally likely; parallel edges are neighbours of their own.

    The result is a function of the arguments alone: the random number of a draw is a hash of
    ``seed``, the hop, the node and the number of the draw (see :mod:`graphattn.ops.sample.random`),
    so it is the same on every device and for any number of threads. The native form takes time
    in proportion to what it samples; between calls every thread that calls it keeps a number per
    node of the largest graph so far, and buffers of a few megabytes.

    Args:
        rowptr: First position of every destination, as :func:`graphattn.ops.build_csr` gives it for
            a square graph. Shape ``[N + 1]``, ``int32`` or ``int64``.
        col: Source of the edge at each position. Shape ``[E]``, dtype of ``rowptr``.
        seeds: Nodes. Shape ``[S]``, ``int32`` or ``int64``. One that comes twice is a node of the
            subgraph twice, each time with draws of its own; edges from it begin at the first.
        num_neighbors: Most neighbours to draw for a node in each hop; -1 takes all.
        replace: Draw with replacement: exactly so many edges for each node that has neighbours,
            some of them repeated.
        seed: Number in ``[0, 2**63)`` that picks the draw.

    Returns:
        The subgraph. With all its edges sorted by destination and its nodes by hop, the first nodes
        and edges belong to the innermost hops.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If a shape or value does not fit, or the rows are damaged.

    Example:
        >>> rowptr, col = torch.tensor([0, 2, 3, 3]), torch.tensor([1, 2, 2])
        >>> sample = sample_neighbors(rowptr, col, torch.tensor([1]), [-1, -1])
        >>> sample.nodes.tolist(), sample.edge_index.tolist()
        ([1, 2], [[1], [0]])
    """
    rowptr, col, seeds = plain(rowptr, "rowptr"), plain(col, "col"), plain(seeds, "seeds")
    _check_graph(rowptr, col)
    _check_seeds(seeds, rowptr)
    fan_outs = checked_fan_outs(num_neighbors)
    _check_draw(replace, seed)
    arguments = (rowptr, col, seeds.to(rowptr.dtype), fan_outs, replace, seed)
    if choose("sample_neighbors", rowptr.device.type).implementation == "cpu":
        return cpu.sample_neighbors(*arguments)
    return reference.sample_neighbors(*arguments)


def _check_graph(rowptr: Tensor, col: Tensor) -> None:
    """Look at the ends of the rows; what lies between is checked when it is read."""
    _check_index("rowptr", rowptr)
    _check_index("col", col)
    if col.dtype != rowptr.dtype or col.device != rowptr.device:
        raise TypeError(
            f"'col' must be {rowptr.dtype} on {rowptr.device} as 'rowptr' is, "
            f"got {col.dtype} on {col.device}"
        )
    if rowptr.numel() == 0:
        raise ValueError("'rowptr' must have one entry more than there are nodes, got none")
    first, last = int(rowptr[0]), int(rowptr[-1])
    if (first, last) != (0, col.numel()):
        raise ValueError(
            f"'rowptr' must rise from 0 to {col.numel()}, the length of 'col'; "
            f"got {first} to {last}"
        )


def _check_seeds(seeds: Tensor, rowptr: Tensor) -> None:
    _check_index("seeds", seeds)
    if seeds.device != rowptr.device:
        raise TypeError(f"'seeds' must be on {rowptr.device} as 'rowptr' is, got {seeds.device}")
    if seeds.numel() == 0:
        return
    for bound in (int(bound) for bound in seeds.aminmax()):
        if not 0 <= bound < rowptr.numel() - 1:
            raise ValueError(f"'seeds' must lie in [0, {rowptr.numel() - 1}), got {bound}")


def _check_index(name: str, index: Tensor) -> None:
    if not isinstance(index, Tensor):
        raise TypeError(f"'{name}' must be a tensor, got {type(index).__name__}")
    if index.dtype not in (torch.int32, torch.int64) or index.layout != torch.strided:
        raise TypeError(
            f"'{name}' must be a dense int32 or int64 tensor, got {index.dtype}, {index.layout}"
        )
    check_shape(index, name, (None,))


def checked_fan_outs(num_neighbors: Sequence[int]) -> list[int]:
    """Check how many neighbours are drawn in each hop.

    Raises:
        TypeError: If it is no list of whole numbers.
        ValueError: If it is empty, or a number is out of range.
    """
    if not isinstance(num_neighbors, Sequence) or isinstance(num_neighbors, str):
        raise TypeError(f"'num_neighbors' must be a list of whole numbers, got {num_neighbors!r}")
    if len(num_neighbors) == 0:
        raise ValueError("'num_neighbors' must have an entry for every hop, got none")
    for fan_out in num_neighbors:
        if isinstance(fan_out, bool) or not isinstance(fan_out, int):
            raise TypeError(f"'num_neighbors' must hold whole numbers, got {fan_out!r}")
        if not -1 <= fan_out <= _MOST:
            raise ValueError(
                f"'num_neighbors' must hold numbers from 0 to {_MOST}, or -1 for all neighbours; "
                f"got {fan_out}"
            )
    return list(num_neighbors)


def _check_draw(replace: bool, seed: int) -> None:
    if not isinstance(replace, bool):
        raise TypeError(f"'replace' must be True or False, got {replace!r}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"'seed' must be a whole number, got {seed!r}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"'seed' must lie in [0, 2**63), got {seed}")
