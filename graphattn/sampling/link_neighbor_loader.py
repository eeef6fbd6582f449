"""Mini-batches of links with sampled neighbours of their ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric import loader as pyg
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader.utils import get_edge_label_index
from torch_geometric.sampler import BaseSampler, NegativeSampling
from torch_geometric.sampler.base import SubgraphType

from graphattn.ops.checks import plain
from graphattn.sampling._batches import SeededLoader, checked_seed
from graphattn.sampling._graph import EdgeType
from graphattn.sampling.neighbor_sampler import NeighborSampler

__all__ = ["LinkNeighborLoader"]


class LinkNeighborLoader(pyg.LinkNeighborLoader, SeededLoader):
    """Go through links in batches, each with a subgraph of sampled neighbours around their ends.

    :class:`torch_geometric.loader.LinkNeighborLoader`, with all its arguments, and with a sampler
    that needs neither pyg-lib nor torch-sparse. A batch is like one of
    :class:`~graphattn.sampling.NeighborLoader`, and has

    - ``input_id``, the places of its links in ``edge_label_index``;
    - ``edge_label_index``, its links and behind them, with ``neg_sampling="binary"``, pairs of
      nodes drawn to be none, as places in the batch, and ``edge_label`` of each: 0 for those drawn,
      for links their label (one more, if labels begin at 0) or 1;
    - with ``neg_sampling="triplet"`` ``src_index``, ``dst_pos_index`` and ``dst_neg_index``
      instead, the ends of its links and destinations drawn for each;
    - ``batch``, the link that each node belongs to, if ``disjoint``: a pair drawn goes with the
      link at the same place, counted round.

    Links are not taken out of the graph. As in PyG, a pair drawn may happen to be an edge.

    Args:
        data: The graph: a :class:`~torch_geometric.data.Data`, a
            :class:`~torch_geometric.data.HeteroData`, or a pair of a feature and a graph store.
        num_neighbors: Most neighbours to draw for a node in each hop, as for
            :class:`~graphattn.sampling.NeighborLoader`.
        edge_label_index: Links to go through. Shape ``[2, L]``; all edges if ``None``. For several
            edge types, one of them, or a pair of it and these.
        edge_label: Labels of the links, whole numbers from 0 with negatives. Shape ``[L]`` or
            ``[L, C]``.
        edge_label_time: Times of the links; to be given with ``time_attr``. Shape ``[L]``.
        replace: Draw with replacement.
        subgraph_type: As for :class:`~graphattn.sampling.NeighborLoader`.
        disjoint: Give the ends of every link subgraphs of their own.
        temporal_strategy: As for :class:`~graphattn.sampling.NeighborLoader`.
        neg_sampling: ``"binary"``, ``"triplet"``, or a
            :class:`~torch_geometric.sampler.NegativeSampling` with a ratio or weights of nodes.
        neg_sampling_ratio: The old word for ``"binary"`` negatives, so many per link.
        time_attr: Name of the times of nodes or edges: nothing later than its link is drawn.
        weight_attr: Name of edge weights, in proportion to which edges are drawn.
        transform: Called with every batch; gives what is yielded instead.
        transform_sampler_output: The same for what the sampler gives, before it is a batch.
        is_sorted: Taken as PyG does, and without use.
        filter_per_worker: Make batches of sampled subgraphs in the workers; so for graphs on the
            CPU if ``None``.
        neighbor_sampler: What samples, in place of a new
            :class:`~graphattn.sampling.NeighborSampler`.
        directed: The old word for ``subgraph_type``.
        seed: Number in ``[0, 2**63)``, as for :class:`~graphattn.sampling.NeighborLoader`; picks
            the negatives, too.
        input_id: What ``input_id`` of the batches names instead, one number per link.
        custom_cls: Class of the batches of a pair of stores.
        **kwargs: Arguments of :class:`torch.utils.data.DataLoader`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value does not fit.

    Example:
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[1, 2, 3, 0], [0, 0, 0, 1]]))
        >>> loader = LinkNeighborLoader(data, [2], neg_sampling="binary", batch_size=4, seed=0)
        >>> [(batch.edge_label_index.shape, batch.edge_label.tolist()) for batch in loader]
        [(torch.Size([2, 8]), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])]
    """

    # PyG's arguments in PyG's order, torch's through `kwargs`: a program changes its import alone.
    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]],
        edge_label_index: Any = None,
        edge_label: Tensor | None = None,
        edge_label_time: Tensor | None = None,
        replace: bool = False,
        subgraph_type: SubgraphType | str = "directional",
        disjoint: bool = False,
        temporal_strategy: str = "uniform",
        neg_sampling: NegativeSampling | str | None = None,
        neg_sampling_ratio: float | None = None,
        time_attr: str | None = None,
        weight_attr: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        transform_sampler_output: Callable[[Any], Any] | None = None,
        is_sorted: bool = False,
        filter_per_worker: bool | None = None,
        neighbor_sampler: BaseSampler | None = None,
        directed: bool = True,
        *,
        seed: int | None = None,
        input_id: Tensor | None = None,
        custom_cls: type | None = None,
        **kwargs: Any,
    ) -> None:
        self.seed = checked_seed(seed, kwargs.get("generator"))
        _check_links(data, edge_label_index, edge_label)
        if neighbor_sampler is None:
            neighbor_sampler = NeighborSampler(
                data,
                num_neighbors,
                subgraph_type,
                replace,
                disjoint,
                temporal_strategy,
                time_attr,
                weight_attr,
                directed=directed,
            )
        # Frameworks that make a loader anew, as Lightning does for several ranks, look for every
        # argument in an attribute of its name.
        self.num_neighbors, self.neighbor_sampler = num_neighbors, neighbor_sampler
        self.replace, self.subgraph_type, self.disjoint = replace, subgraph_type, disjoint
        self.temporal_strategy, self.time_attr = temporal_strategy, time_attr
        self.weight_attr, self.is_sorted, self.directed = weight_attr, is_sorted, directed
        self.edge_label, self.edge_label_time, self.input_id = edge_label, edge_label_time, input_id
        self.neg_sampling_ratio = neg_sampling_ratio
        pyg.LinkNeighborLoader.__init__(
            self,
            data,
            num_neighbors,
            edge_label_index=edge_label_index,
            edge_label=edge_label,
            edge_label_time=edge_label_time,
            neg_sampling=neg_sampling,
            neg_sampling_ratio=neg_sampling_ratio,
            time_attr=time_attr,
            transform=transform,
            transform_sampler_output=transform_sampler_output,
            filter_per_worker=filter_per_worker,
            neighbor_sampler=neighbor_sampler,
            input_id=input_id,
            custom_cls=custom_cls,
            **kwargs,
        )

    def collate_fn(self, index: Tensor | list[int]) -> Any:
        """Sample around the seeds at some places; what a worker does."""
        return self._collated(index)

    def filter_fn(self, out: Any) -> Any:
        """Give a sampled subgraph what the graph holds for its nodes and edges."""
        return self._filtered(out, pyg.LinkNeighborLoader.filter_fn)

    def _sample(self, inputs: Any, **wishes: int) -> Any:
        return self.link_sampler.sample_from_edges(inputs, neg_sampling=self.neg_sampling, **wishes)


def _check_links(data: Any, edge_label_index: Any, edge_label: Tensor | None) -> None:
    """Check links where the graph says what nodes there are."""
    if isinstance(data, Data):
        sizes = (int(data.num_nodes or 0),) * 2
        if edge_label_index is None and data.edge_index is None:
            raise ValueError("'edge_label_index' must be given for a graph without 'edge_index'")
    elif isinstance(data, HeteroData):
        key = _edge_type(data, edge_label_index)
        sizes = int(data[key[0]].num_nodes or 0), int(data[key[2]].num_nodes or 0)
        if "edge_index" not in data[key] and isinstance(edge_label_index[0], str):
            raise ValueError(
                f"'edge_label_index' must hold links where a type has no 'edge_index', got {key}"
            )
    else:
        return
    _, links = get_edge_label_index(data, edge_label_index)
    if not isinstance(links, Tensor):
        raise TypeError(f"'edge_label_index' must be a tensor, got {type(links).__name__}")
    links = _checked("edge_label_index", links)
    for end, (index, count) in enumerate(zip(links, sizes, strict=True)):
        outside = index[(index < 0) | (index >= count)]
        if outside.numel():
            raise ValueError(
                f"'edge_label_index[{end}]' must lie in [0, {count}), got {int(outside[0])}"
            )
    if edge_label is not None and len(edge_label) != links.size(1):
        raise ValueError(
            f"'edge_label' must have one entry for each of {links.size(1)} links, "
            f"got {len(edge_label)}"
        )


def _checked(name: str, index: Tensor) -> Tensor:
    index = plain(index, name)
    if index.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"'{name}' must be int32 or int64, got {index.dtype}")
    if index.dim() != 2 or index.size(0) != 2:
        raise ValueError(f"'{name}' must have shape [2, L], got {list(index.shape)}")
    return index


def _edge_type(data: HeteroData, edge_label_index: Any) -> EdgeType:
    """The type of links, as the graph has it."""
    given = edge_label_index
    if isinstance(given, (tuple, list)) and len(given) == 2 and not isinstance(given[0], str):
        given = given[0]
    if not isinstance(given, (tuple, list)) or not all(isinstance(name, str) for name in given):
        raise TypeError(
            "'edge_label_index' must be an edge type, or a pair of it and links, for a graph of "
            f"several types; got {type(edge_label_index).__name__}"
        )
    key: EdgeType = data._to_canonical(*given)
    if key not in data.edge_types:
        raise ValueError(f"'edge_label_index' must name an edge type of 'data', got {given}")
    return key
