"""Choosing one of several splits, and drawing one where none is published."""

from __future__ import annotations

import copy

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import RandomNodeSplit

__all__ = ["MASKS", "random_split", "select_split"]

MASKS = ("train_mask", "val_mask", "test_mask")


def select_split(data: Data, index: int) -> Data:
    """One split of a graph that has several.

    Args:
        data: A graph with masks of shape ``[N, S]`` (or ``[N]``, which is one split). A mask is
            True for the nodes that belong to it.
        index: Number of the split, from 0.

    Returns:
        A shallow copy with masks of shape ``[N]``.

    Raises:
        ValueError: If there is no split of that number.
        TypeError: If ``index`` is not an integer.

    Example:
        >>> mask = torch.eye(3, dtype=torch.bool)[:, :2]
        >>> data = Data(train_mask=mask, val_mask=mask.roll(1, 0), test_mask=mask.roll(2, 0))
        >>> select_split(data, 1).train_mask
        tensor([False,  True, False])
    """
    if isinstance(index, bool) or not isinstance(index, int):
        raise TypeError(f"'index' must be an integer, got {index!r}")
    count = 1 if data.train_mask.dim() == 1 else data.train_mask.size(1)
    if not 0 <= index < count:
        raise ValueError(f"'index' must be in [0, {count}), got {index}: {count} split(s) there")
    result = copy.copy(data)
    for name in MASKS:
        result[name] = data[name].reshape(-1, count)[:, index].contiguous()
    return result


def random_split(data: Data, *, train_per_class: int, num_val: int, seed: int) -> Data:
    """Draw a split with the same number of training nodes of every class; the rest is for test.

    PyG's ``RandomNodeSplit`` draws it. Nodes with a negative label (unknown) are in no part. The
    random state of torch is left as it was.

    Args:
        data: A graph with one label per node.
        train_per_class: Training nodes of each class; all of a class that has fewer.
        num_val: Validation nodes, of any class.
        seed: Seed of the draw.

    Returns:
        A shallow copy with masks of shape ``[N]``, True for the nodes that belong to each.
    """
    known = data.y >= 0
    draw = RandomNodeSplit("test_rest", num_train_per_class=train_per_class, num_val=num_val)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = draw(Data(y=data.y[known], num_nodes=int(known.sum())))
    result = copy.copy(data)
    for name in MASKS:
        mask = torch.zeros_like(known)
        mask[known] = drawn[name]
        result[name] = mask
    return result
