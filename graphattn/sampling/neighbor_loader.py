"""Mini-batches of nodes with sampled neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphattn.ops import build_csr, sample_neighbors
from graphattn.ops.checks import plain
from graphattn.ops.sample.random import combine
from graphattn.sampling._part import part_of

__all__ = ["NeighborLoader"]

_INT32_MAX = 2**31 - 1

# The seed of a batch's draw, and the places of its seeds among the input nodes.
Task = tuple[int, list[int]]


class NeighborLoader(DataLoader[Data]):
    """Go through nodes in batches, each with a subgraph of sampled neighbours around it.

    The sampling of `GraphSAGE <https://arxiv.org/abs/1706.02216>`_, with the words and the batches
    of :class:`torch_geometric.loader.NeighborLoader`, without its compiled extra packages. A batch
    is a :class:`~torch_geometric.data.Data` that has, for its nodes and edges only, what ``data``
    has for all (``x``, ``y``, masks, ``edge_attr``, ...), and

    - ``edge_index``, sources and destinations as places in the batch, sorted by destination;
    - ``n_id`` and ``e_id``, the node of ``data`` and the column of ``data.edge_index`` behind each
      node and edge;
    - ``batch_size`` ``B``: the first ``B`` nodes are the input nodes of the batch, in their order;
    - ``input_id``, their places in ``input_nodes`` (their numbers if that is a mask or ``None``);
    - ``num_sampled_nodes`` and ``num_sampled_edges`` of each hop, for models that trim.

    Draws and, with ``shuffle``, the order are a function of ``seed``, the epoch and the number of
    the batch alone: they are the same for any number of workers or threads. Epochs are counted from
    0 by the passes begun over the loader; :meth:`set_epoch` says which one comes next, so that
    interrupted training can go on with the batches that it would have had.

    Args:
        data: The graph, with an ``edge_index`` of shape ``[2, E]``.
        num_neighbors: Most neighbours to draw for a node in each hop, one entry per layer; -1 takes
            all.
        input_nodes: Nodes to go through, as a mask ``[N]`` or as different node numbers; all nodes
            if ``None``.
        batch_size: Input nodes per batch.
        shuffle: Go through the input nodes in a new random order in every epoch.
        replace: Draw with replacement.
        seed: Number in ``[0, 2**63)``.
        drop_last: Leave out the last batch if it is smaller than the others.
        transform: Called with every batch; gives what is yielded instead.
        num_workers: Processes that make batches; 0 makes them in this one.
        persistent_workers: Keep the workers between epochs.
        prefetch_factor: Batches that each worker makes ahead.
        pin_memory: Put batches into page-locked memory, from where they get to a GPU faster.

    Raises:
        TypeError: If ``data`` is no :class:`~torch_geometric.data.Data`, its ``edge_index`` no edge
            list, or another argument has the wrong type.
        ValueError: If a value is out of range, or an input node comes twice.

    Example:
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[1, 2, 3, 0], [0, 0, 0, 1]]))
        >>> loader = NeighborLoader(data, [2], batch_size=2)
        >>> [(len(batch.n_id), batch.num_edges, batch.batch_size) for batch in loader]
        [(3, 3, 2), (2, 0, 2)]
    """

    def __init__(
        self,
        data: Data,
        num_neighbors: Sequence[int],
        *,
        input_nodes: Tensor | Sequence[int] | None = None,
        batch_size: int = 1,
        shuffle: bool = False,
        replace: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Callable[[Data], Data] | None = None,
        num_workers: int = 0,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        pin_memory: bool = False,
    ) -> None:
        blocks = _Blocks(data, num_neighbors, input_nodes, replace, transform)
        blocks.sample([], seed)  # shows what is wrong with the arguments here, not in a worker
        self._batches = _Batches(len(blocks.seeds), batch_size, shuffle, drop_last, seed)
        super().__init__(
            blocks,
            # One item is one batch: its number must reach the worker that makes it.
            batch_size=None,
            sampler=self._batches,
            collate_fn=_unchanged,
            num_workers=num_workers,
            persistent_workers=persistent_workers,
            prefetch_factor=prefetch_factor,
            pin_memory=pin_memory,
        )
        self.data = data
        self._next_epoch = 0

    def __iter__(self) -> Any:
        """Begin a pass, which is the next epoch."""
        self._batches.epoch = self._next_epoch
        self._next_epoch += 1
        return super().__iter__()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass over the loader is.

        Args:
            epoch: Number from 0.

        Raises:
            ValueError: If it is negative.
        """
        if epoch < 0:
            raise ValueError(f"'epoch' must be 0 or more, got {epoch}")
        self._next_epoch = epoch


class _Batches(Sampler[Task]):
    """The tasks of an epoch."""

    def __init__(
        self, count: int, batch_size: int, shuffle: bool, drop_last: bool, seed: int
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int):
            raise TypeError(f"'batch_size' must be a whole number, got {batch_size!r}")
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        self.count, self.batch_size = count, batch_size
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.epoch = 0

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Task]:
        # Not a generator itself: a pass keeps the epoch in which it began. It is counted by the
        # loader, since torch begins a pass over its sampler twice where there are workers.
        return self._tasks(self.epoch)

    def _tasks(self, epoch: int) -> Iterator[Task]:
        order = torch.arange(self.count)
        if self.shuffle:
            generator = torch.Generator().manual_seed(combine(self.seed, epoch) >> 1)
            order = torch.randperm(self.count, generator=generator)
        for batch in range(len(self)):
            places = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield combine(self.seed, epoch, batch) >> 1, places.tolist()


class _Blocks(Dataset[Data]):
    """The batch of every task."""

    def __init__(
        self,
        data: Data,
        num_neighbors: Sequence[int],
        input_nodes: Tensor | Sequence[int] | None,
        replace: bool,
        transform: Callable[[Data], Data] | None,
    ) -> None:
        edge_index, num_nodes = _edge_list(data), int(data.num_nodes or 0)
        # Half the memory, so that more of the graph stays in the processor's cache.
        if max(num_nodes, edge_index.size(1)) <= _INT32_MAX:
            edge_index = edge_index.int()
        csr = build_csr(edge_index, num_src=num_nodes, num_dst=num_nodes)
        self.rowptr, self.col, self.edge = csr.rowptr, csr.col, csr.edge
        self.data, self.num_neighbors, self.replace = data, num_neighbors, replace
        self.transform = transform
        self.seeds, self.input_id = _input_nodes(input_nodes, num_nodes)

    def __getitem__(self, task: Task) -> Data:
        seed, places = task
        nodes, edge_index, position, nodes_per_hop, edges_per_hop = self.sample(places, seed)
        e_id = self.edge.index_select(0, position).long()
        batch = part_of(self.data, nodes, e_id, edge_index)
        batch.n_id, batch.e_id = nodes, e_id
        batch.input_id, batch.batch_size = self.input_id[places], len(places)
        batch.num_sampled_nodes, batch.num_sampled_edges = nodes_per_hop, edges_per_hop
        return batch if self.transform is None else self.transform(batch)

    def sample(
        self, places: list[int], seed: int
    ) -> tuple[Tensor, Tensor, Tensor, list[int], list[int]]:
        """Subgraph around the input nodes at ``places``, with the dtype that PyG has."""
        out = sample_neighbors(
            self.rowptr,
            self.col,
            self.seeds[places],
            self.num_neighbors,
            replace=self.replace,
            seed=seed,
        )
        return out.nodes.long(), out.edge_index.long(), *out[2:]


def _unchanged(batch: Data) -> Data:
    return batch


def _edge_list(data: Data) -> Tensor:
    """The edges of a graph on the CPU, as a plain tensor."""
    if not isinstance(data, Data):
        raise TypeError(
            f"'data' must be a torch_geometric.data.Data, got {type(data).__name__}; "
            "graphs of several node or edge types are not sampled here"
        )
    edge_index = data.edge_index
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        raise TypeError(
            "'data.edge_index' must be a [2, E] tensor or an EdgeIndex, "
            f"got {type(edge_index).__name__}"
        )
    return edge_index.cpu()


def _input_nodes(
    input_nodes: Tensor | Sequence[int] | None, num_nodes: int
) -> tuple[Tensor, Tensor]:
    """Node numbers, and what stands in ``input_id`` for each of them."""
    if input_nodes is None:
        nodes = torch.arange(num_nodes)
        return nodes, nodes
    given = plain(torch.as_tensor(input_nodes), "input_nodes").cpu()
    if given.dtype == torch.bool:
        if given.shape != (num_nodes,):
            raise ValueError(
                f"'input_nodes' must be a mask of shape [{num_nodes}] or node numbers, "
                f"got a mask of shape {list(given.shape)}"
            )
        nodes = given.nonzero().view(-1)
        return nodes, nodes
    _check_nodes(given, num_nodes)
    return given.long(), torch.arange(given.numel())


def _check_nodes(nodes: Tensor, num_nodes: int) -> None:
    if nodes.numel() and nodes.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"'input_nodes' must be a mask or int32 or int64, got {nodes.dtype}")
    if nodes.dim() != 1:
        raise ValueError(f"'input_nodes' must have shape [S], got {list(nodes.shape)}")
    outside = nodes[(nodes < 0) | (nodes >= num_nodes)]
    if outside.numel():
        raise ValueError(f"'input_nodes' must lie in [0, {num_nodes}), got {int(outside[0])}")
    ordered = nodes.sort().values
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if repeated.numel():
        raise ValueError(f"'input_nodes' must be different nodes, got {int(repeated[0])} twice")
