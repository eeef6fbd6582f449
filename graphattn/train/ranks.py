"""Shares of the processes that ``torchrun`` has started."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.utils.data import Sampler

from graphattn._core.checks import check_count
from graphattn.ops.sample.random import combine

__all__ = ["RankSampler", "rank_and_count"]


def rank_and_count() -> tuple[int, int]:
    """Number of this process, from 0, and of all that ``torchrun`` has started."""
    if not TorchElasticEnvironment.detect():
        return 0, 1
    environment = TorchElasticEnvironment()
    return environment.global_rank(), environment.world_size()


class RankSampler(Sampler[int]):
    """Places of seeds for the loader of this process, so that all processes share each batch.

    The batches that one process with ``ranks * batch_size`` seeds each would go through are cut
    into parts, one per process: equally many batches for each, no seed twice. Fewer than ``ranks``
    seeds at the end of an epoch are left out. With ``shuffle`` the order is a function of ``seed``
    and the epoch, and the one that :class:`graphattn.sampling.NeighborLoader` has by itself.

    Args:
        count: Number of seeds of all processes.
        batch_size: Seeds per batch of this process, as the loader is told.
        shuffle: Whether every epoch has a new random order.
        seed: Seed of the order, in ``[0, 2**63)``, the same in all processes.
        rank: Number of this process; as ``torchrun`` says if ``None``.
        ranks: Number of processes, likewise.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If one is out of range.

    Example:
        >>> [list(RankSampler(7, 2, rank=rank, ranks=2)) for rank in (0, 1)]
        [[0, 1, 4, 5], [2, 3, 6]]
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        here, there = rank_and_count()
        self.rank, self.ranks = here if rank is None else rank, there if ranks is None else ranks
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("ranks", self.ranks, 1),
            ("count", count, self.ranks),
            ("seed", seed, 0),
            ("rank", self.rank, 0),
        ):
            check_count(name, value, least=least)
        if self.rank >= self.ranks:
            raise ValueError(f"'rank' must be below 'ranks', {self.ranks}, got {self.rank}")
        self.count, self.batch_size, self.shuffle, self.seed = count, batch_size, shuffle, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(self.count, self.batch_size * self.ranks)
        of_rest = rest // self.ranks + (self.rank < rest % self.ranks)
        return whole * self.batch_size + (of_rest if rest >= self.ranks else 0)

    def __iter__(self) -> Iterator[int]:
        order = torch.arange(self.count)
        if self.shuffle:
            generator = torch.Generator().manual_seed(combine(self.seed, self.epoch) >> 1)
            order = torch.randperm(self.count, generator=generator)
        for batch in torch.split(order, self.batch_size * self.ranks):
            if batch.numel() >= self.ranks:
                yield from batch.tensor_split(self.ranks)[self.rank].tolist()
