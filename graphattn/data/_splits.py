"""Choosing one of several splits, and drawing one where none is published."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data
from torch_geometric.utils import index_to_mask

from graphattn.data._rule import SplitRule

__all__ = ["MASKS", "labelled", "random_split", "select_split"]

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


def random_split(data: Data, rule: str, *, seed: int) -> Data:
    """Draw a split; nodes without a label are in no part.

    Rules are written as in the literature:

    - ``"60/20/20"``: percent of the labelled nodes for training, validation and test. The three may
      sum to less than 100; nodes that are left belong to no part.
    - ``"60/20/20-per-class"``: percent of every class, each up to rounding.
    - ``"20-per-class/500/1000"``: 20 training nodes of each class (all of a class that has fewer),
      then 500 nodes of any class for validation and 1,000 for test. For seed 123 these are the
      nodes that Luo et al. 2024 (https://arxiv.org/abs/2406.08993) train on.
    - ``"20-per-class/500/rest"``: all that are left for test. These are the nodes that PyG's
      ``RandomNodeSplit("test_rest")`` draws.

    The random state of torch is neither used nor changed.

    Args:
        data: A graph with labels ``y`` of shape ``[N]``, negative where unknown. A rule that is not
            per class also takes ``[N, T]`` (several labels per node, NaN where unknown).
        rule: One of the above, with any numbers.
        seed: Seed of the draw.

    Returns:
        A shallow copy with masks of shape ``[N]``, True for the nodes that belong to each.

    Raises:
        ValueError: If the rule can't be read, is per class where nodes have several labels, or
            there are too few labelled nodes for it.

    Example:
        >>> data = random_split(Data(y=torch.arange(200) % 4), "48/32/20", seed=0)
        >>> [int(data[name].sum()) for name in ("train_mask", "val_mask", "test_mask")]
        [96, 64, 40]
    """
    parsed = SplitRule.parse(rule)
    if parsed.per_class and data.y.dim() != 1:
        raise ValueError(
            f"a split per class needs one label per node, but 'y' has shape {list(data.y.shape)}; "
            f"got {rule!r}, use a rule like 60/20/20"
        )
    nodes = labelled(data.y).nonzero().view(-1)
    groups = [nodes]
    if parsed.per_class:
        groups = [nodes[data.y[nodes] == label] for label in data.y[nodes].unique()]
    generator = torch.Generator().manual_seed(seed)
    draw = _by_counts if parsed.counts else _by_shares
    parts = draw([_shuffled(group, generator) for group in groups], parsed, generator)
    empty = [name for name, part in zip(MASKS, parts, strict=True) if not len(part)]
    if empty:
        raise ValueError(
            f"a split {rule} of {len(nodes)} labelled node(s) leaves {empty[0]!r} empty"
        )
    result = copy.copy(data)
    for name, part in zip(MASKS, parts, strict=True):
        result[name] = index_to_mask(part, size=data.y.size(0))
    return result


def labelled(y: Tensor) -> Tensor:
    """Which nodes have a label: not negative, or not NaN in at least one of several.

    Args:
        y: Labels of shape ``[N]`` or ``[N, T]``.

    Returns:
        Booleans of shape ``[N]``.
    """
    known = ~y.isnan() if y.is_floating_point() else y >= 0
    return known.flatten(1).any(dim=1) if y.dim() > 1 else known


def _shuffled(nodes: Tensor, generator: Generator) -> Tensor:
    return nodes[torch.randperm(len(nodes), generator=generator)]


def _by_shares(groups: list[Tensor], rule: SplitRule, generator: Generator) -> list[Tensor]:
    """Every group cut in the same ratio; cuts are rounded, so that parts add up."""
    bounds = (0.0, rule.train, rule.train + rule.val, rule.train + rule.val + (rule.test or 0.0))
    cut = []
    for group in groups:
        places = [round(bound / 100 * len(group)) for bound in bounds]
        cut.append([group[first:last] for first, last in pairwise(places)])
    return [torch.cat(part) for part in zip(*cut, strict=True)] if cut else [torch.empty(0)] * 3


def _by_counts(groups: list[Tensor], rule: SplitRule, generator: Generator) -> list[Tensor]:
    """The first of every group train; from the others, shuffled, the other parts are taken."""
    first, num_val = int(rule.train), int(rule.val)
    train = torch.cat([group[:first] for group in groups])
    others = torch.cat([group[first:] for group in groups])
    # As the two reference programs do, whose very nodes are wanted.
    others = _shuffled(others.sort().values if rule.test is None else others, generator)
    last = None if rule.test is None else num_val + int(rule.test)
    if last is not None and last > len(others):
        raise ValueError(
            f"a split with {num_val} nodes for validation and {last - num_val} for test needs "
            f"{last} labelled nodes besides those for training, got {len(others)}"
        )
    return [train, others[:num_val], others[num_val:last]]
