"""What our loaders add to PyG's: batches that are a function of a seed, an epoch and a number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torch_geometric.sampler import BaseSampler

from graphattn.ops.sample.random import combine
from graphattn.sampling._part import Apart
from graphattn.sampling.neighbor_sampler import NeighborSampler

__all__ = ["SeededLoader", "checked_seed"]


class SeededLoader(DataLoader[Any], ABC):
    """Between a loader of PyG and that of torch: counts epochs and gives every batch a key.

    The key travels with the places of the batch's seeds, so that it reaches whichever process makes
    the batch. A class that has this one behind PyG's among its bases sets ``seed`` before it calls
    their constructors.
    """

    seed: int
    data: Any
    neighbor_sampler: BaseSampler
    input_data: Any
    filter_per_worker: bool
    transform: Any
    transform_sampler_output: Any

    def __init__(self, dataset: Sized, **kwargs: Any) -> None:
        places = _Places(len(dataset))
        self._next_epoch, self._epoch = 0, 0
        self._apart: Apart | None = None
        free = all(kwargs.get(name) is None for name in ("sampler", "batch_sampler", "generator"))
        if kwargs.get("shuffle") and free:
            kwargs |= {"shuffle": False, "sampler": _Order(places, self.seed)}
        super().__init__(places, **kwargs)

    def __iter__(self) -> Any:
        """Begin a pass, which is the next epoch."""
        self._epoch = self._next_epoch
        self._next_epoch += 1
        return super().__iter__()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass over the loader is, also to a sampler that can be told.

        Args:
            epoch: Number from 0.

        Raises:
            ValueError: If it is negative.
        """
        if epoch < 0:
            raise ValueError(f"'epoch' must be at least 0, got {epoch}")
        self._next_epoch = epoch
        inner = getattr(self.batch_sampler, "sampler", None)
        samplers = {id(each): each for each in (self.sampler, self.batch_sampler, inner)}
        for sampler in samplers.values():
            if callable(tell := getattr(sampler, "set_epoch", None)):
                tell(epoch)

    def _collated(self, index: Tensor | list[int]) -> Any:
        """Sample around the seeds at some places."""
        # Samplers that are not ours have no seed.
        ours = isinstance(self.neighbor_sampler, NeighborSampler)
        wishes = {"seed": index.key} if ours and isinstance(index, _Batch) else {}
        out = self._sample(self.input_data[index], **wishes)
        return self.filter_fn(out) if self.filter_per_worker else out

    def _filtered(self, out: Any, by_pyg: Callable[[Any, Any], Any]) -> Any:
        """Give a sampled subgraph what the graph holds for its nodes and edges.

        Args:
            out: What the sampler gave.
            by_pyg: The method of PyG's loader.
        """
        # Looked for anew, since the graph may have been given something since.
        self._apart = Apart.of(self.data, self._apart)
        if self._apart is None:
            return by_pyg(self, out)
        if self.transform_sampler_output is not None:
            out = self.transform_sampler_output(out)
        # PyG's method gets a graph without what it can't select from.
        view = copy(self)
        view.data, view.transform, view.transform_sampler_output = self._apart.rest, None, None
        order = self.neighbor_sampler.edge_permutation
        batch = self._apart.add(by_pyg(view, out), out, order)
        return batch if self.transform is None else self.transform(batch)

    @abstractmethod
    def filter_fn(self, out: Any) -> Any:
        """Make a batch of what was sampled, as PyG's loader of the kind does."""

    @abstractmethod
    def _sample(self, inputs: Any, **wishes: int) -> Any:
        """Sample around the seeds of a batch."""

    @property
    def _index_sampler(self) -> Any:
        # Torch takes the places of every batch from here, by whatever sampler they are chosen.
        return _Keyed(super()._index_sampler, self)


class _Batch(list[int]):
    """Places of the seeds of a batch, and the key of its draws."""

    key: int


class _Places(Dataset[int]):
    """The numbers below a bound, of which batches come as they are."""

    def __init__(self, count: int) -> None:
        self._range = range(count)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, place: Any) -> Any:
        return place if isinstance(place, _Batch) else self._range[place]

    def __getitems__(self, batch: _Batch) -> _Batch:
        return batch


class _Order(RandomSampler):
    """A random order that is a function of a seed and an epoch."""

    def __init__(self, places: Sized, seed: int) -> None:
        super().__init__(places)
        self.seed, self.epoch = seed, 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(combine(self.seed, self.epoch) >> 1)
        return iter(torch.randperm(len(self), generator=generator).tolist())


class _Keyed:
    """The batches of a sampler, each with its key."""

    def __init__(self, batches: Any, loader: SeededLoader) -> None:
        self._batches, self._loader = batches, loader

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[_Batch]:
        # Not a generator itself: a pass keeps the epoch in which it began. It is counted by the
        # loader, since torch begins a pass over its sampler twice where there are workers.
        return self._of_epoch(self._loader._epoch)

    def _of_epoch(self, epoch: int) -> Iterator[_Batch]:
        seed, order = self._loader.seed, self._loader.sampler
        if isinstance(order, _Order):
            order.epoch = epoch  # which it reads at once, in the next line
        for number, places in enumerate(self._batches):
            batch = _Batch(places if isinstance(places, Iterable) else [places])
            batch.key = combine(seed, epoch, number) >> 1
            yield batch


def checked_seed(seed: int | None, generator: torch.Generator | None) -> int:
    """The seed of a loader; that of torch's generator if none is given.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it does not lie in ``[0, 2**63)``.
    """
    if seed is None:
        given = torch.default_generator if generator is None else generator
        return given.initial_seed() % 2**63
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"'seed' must be a whole number, got {seed!r}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"'seed' must lie in [0, 2**63), got {seed}")
    return seed
