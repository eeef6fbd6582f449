"""A graph as users have it, brought into the one form that training expects."""

from __future__ import annotations

import copy
import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_edge_index

from graphattn.data._splits import MASKS, labelled

__all__ = ["notice_one_way", "tidy"]

logger = logging.getLogger("graphattn")

# A sample, since finding the reverse of every edge means sorting all of them.
_LOOKED_AT = 1000
_CHUNK = 2**22


def tidy(data: Data) -> Data:
    """Bring a graph into the form that :func:`~graphattn.data.check_data` expects.

    What can be understood in one way only is converted; all else is left for the check to name.

    - NumPy arrays become tensors, and features that are whole numbers, booleans or ``float64``
      arrays become ``float32``.
    - ``adj_t``, as PyG's ``ToSparseTensor`` leaves it, becomes ``edge_index``; its values, unless
      all are 1, ``edge_weight``.
    - Labels become ``int64`` of shape ``[N]``, with -1 where they are unknown: those of shape
      ``[N, 1]``, booleans, and whole numbers in a floating dtype, NaN for unknown. Labels
      ``[N, T]`` in a floating dtype (several yes/no labels per node) stay.
    - Masks of zeros and ones become booleans, those of shape ``[N, 1]`` become ``[N]``, and nodes
      without a label leave them.

    Args:
        data: The graph; it is not changed.

    Returns:
        A shallow copy, or ``data`` itself if it is no ``Data``.

    Example:
        >>> tidy(Data(y=torch.tensor([[0.0], [1.0], [float("nan")]]))).y
        tensor([ 0,  1, -1])
    """
    if not isinstance(data, Data):
        return data
    result = copy.copy(data)
    for name in ("x", "edge_index", "edge_attr", "y", *MASKS):
        if isinstance(value := result.get(name), np.ndarray) and value.dtype.kind in "fiub":
            single = value.dtype == np.float64 and name in ("x", "edge_attr")
            result[name] = torch.as_tensor(value.astype(np.float32) if single else value)
    if isinstance(x := result.get("x"), Tensor) and not (x.is_floating_point() or x.is_complex()):
        result.x = x.to(torch.float32)
    if "edge_index" not in result and result.get("adj_t") is not None:
        _take_adjacency(result)
    if isinstance(y := result.get("y"), Tensor):
        result.y = _tidy_labels(y)
    for name in MASKS:
        if isinstance(mask := result.get(name), Tensor):
            result[name] = _tidy_mask(mask, result.get("y"))
    return result


def _take_adjacency(data: Data) -> None:
    """Replace the transposed adjacency by a list of edges."""
    adjacency: Any = data.adj_t
    (dst, src), value = to_edge_index(adjacency)
    data.edge_index = torch.stack([src, dst])
    if value is not None and (value.dim() > 1 or not (value == 1).all()):
        data["edge_weight" if value.dim() == 1 else "edge_attr"] = value
    del data.adj_t


def _tidy_labels(y: Tensor) -> Tensor:
    """One whole number per node, where that is what the labels are."""
    if y.dim() == 2 and y.size(1) == 1:
        y = y.view(-1)
    if y.dim() != 1 or y.is_complex():
        return y
    if not y.is_floating_point():
        y = y.to(torch.int64)
        return y.clamp(min=-1) if y.numel() and int(y.min()) < -1 else y
    unknown = y.isnan()
    whole = y.masked_fill(unknown, -1)
    if not torch.equal(whole, whole.round()) or not whole.isfinite().all():
        return y
    return whole.to(torch.int64).clamp(min=-1)


def _tidy_mask(mask: Tensor, y: Any) -> Tensor:
    """Booleans, of nodes that have a label."""
    if mask.dim() == 2 and mask.size(1) == 1:
        mask = mask.view(-1)
    if mask.dtype != torch.bool:
        if not ((mask == 0) | (mask == 1)).all():
            return mask
        mask = mask.to(torch.bool)
    if not isinstance(y, Tensor) or y.dim() not in (1, 2) or mask.size(0) != y.size(0):
        return mask
    known = labelled(y)
    if known.all():
        return mask
    return mask & (known if mask.dim() == 1 else known[:, None])


def notice_one_way(data: Data) -> None:
    """Write one line to the log (``graphattn``) if every edge is there in one direction only.

    Such a graph may be an undirected one, stored once, which attention would see half of. Of a
    graph with many edges the first thousand are looked at.

    Args:
        data: A graph. One without a list of edges is passed over.
    """
    edge_index = data.edge_index
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        return
    some = edge_index[:, :_LOOKED_AT].to(torch.int64)
    some = some[:, some[0] != some[1]]
    if not some.numel():
        return
    num_nodes = int(edge_index.max()) + 1
    wanted = (some[1] * num_nodes + some[0]).sort().values
    for start in range(0, edge_index.size(1), _CHUNK):
        src, dst = edge_index[:, start : start + _CHUNK]
        keys = src.to(torch.int64) * num_nodes + dst
        place = torch.searchsorted(wanted, keys).clamp_(max=len(wanted) - 1)
        if (wanted[place] == keys).any():
            return
    logger.info(
        "no edge of this graph has its reverse; if it is undirected and its edges are stored "
        "once, use PyG's ToUndirected() (--data.undirected)"
    )
