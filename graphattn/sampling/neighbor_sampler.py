"""Sampling of neighbours behind PyG's interface of samplers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
    NumNeighbors,
    SamplerOutput,
)
from torch_geometric.sampler.base import SubgraphType
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample

from graphattn.ops import sample_neighbors
from graphattn.ops.sample import checked_fan_outs
from graphattn.ops.sample.random import combine
from graphattn.ops.sample.relations import RelationSample, sample_relations
from graphattn.sampling._graph import EDGE, NODE, EdgeType, graph_of

__all__ = ["NeighborSampler"]


class NeighborSampler(BaseSampler):
    """Draw neighbours of nodes or links, hop by hop.

    The sampler of :class:`~graphattn.sampling.NeighborLoader` and
    :class:`~graphattn.sampling.LinkNeighborLoader`, with the words of
    :class:`torch_geometric.sampler.NeighborSampler`; several loaders can share one by their
    ``neighbor_sampler``, and PyG's own loaders take it, too. Its outputs name edges as the graph
    does, so that ``edge_permutation`` is ``None``.

    Sampling of one node type without ``disjoint``, weights and times is compiled; all else is plain
    torch.

    Args:
        data: A :class:`~torch_geometric.data.Data`, a :class:`~torch_geometric.data.HeteroData`, or
            a pair of a feature and a graph store, with ``edge_index`` or ``adj_t``.
        num_neighbors: Most neighbours to draw for a node in each hop, one entry per layer; -1 takes
            all. For several edge types, a list for each of them, or one list for all.
        subgraph_type: ``"directional"``: the edges drawn; ``"bidirectional"``: these and their
            reverses; ``"induced"``: all between the sampled nodes.
        replace: Draw with replacement.
        disjoint: Give every seed a subgraph of its own; always so with times.
        temporal_strategy: ``"uniform"`` among those early enough, or the ``"last"`` of them.
        time_attr: Name of the times of nodes or edges. Nothing later than its seed is drawn.
        weight_attr: Name of edge weights, from 0. Without replacement, edges are drawn one after
            the other in proportion to the weights of those left. An edge of weight 0 is never
            drawn; -1 takes it, too.
        is_sorted: Taken as PyG does, and without use: sorted edges are sorted fast.
        share_memory: Taken as PyG does, and without use: torch shares what it sends to workers.
        directed: The old word for ``subgraph_type``; ``False`` warns and means ``"induced"``.

    Raises:
        TypeError: If ``data`` or an attribute of it has the wrong type.
        ValueError: If another argument does not fit.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(num_nodes=3, edge_index=torch.tensor([[1, 2], [0, 1]]))
        >>> sampler = NeighborSampler(data, [1, 1])
        >>> out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0])), seed=1)
        >>> out.node.tolist(), out.row.tolist(), out.col.tolist(), out.edge.tolist()
        ([0, 1, 2], [1, 2], [0, 1], [0, 1])
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]] | NumNeighbors,
        subgraph_type: SubgraphType | str = "directional",
        replace: bool = False,
        disjoint: bool = False,
        temporal_strategy: str = "uniform",
        time_attr: str | None = None,
        weight_attr: str | None = None,
        is_sorted: bool = False,
        share_memory: bool = False,
        directed: bool = True,
    ) -> None:
        if not directed:
            warnings.warn("'directed' is deprecated; use subgraph_type='induced'", stacklevel=2)
            subgraph_type = SubgraphType.induced
        for name, value in (("replace", replace), ("disjoint", disjoint)):
            if not isinstance(value, bool):
                raise TypeError(f"'{name}' must be True or False, got {value!r}")
        _check_choice("temporal_strategy", temporal_strategy, ("uniform", "last"))
        if not isinstance(subgraph_type, SubgraphType):
            _check_choice("subgraph_type", subgraph_type, [kind.value for kind in SubgraphType])
        if temporal_strategy == "last" and weight_attr is not None:
            raise ValueError(
                f"'weight_attr' must be None with temporal_strategy='last', got {weight_attr!r}"
            )
        self.graph = graph_of(data, weight_attr=weight_attr, time_attr=time_attr)
        self.subgraph_type = SubgraphType(subgraph_type)
        self.replace, self._disjoint = replace, disjoint
        self.temporal_strategy, self.is_temporal = temporal_strategy, time_attr is not None
        self.is_weighted = weight_attr is not None
        self.num_neighbors = num_neighbors

    @property
    def num_neighbors(self) -> NumNeighbors:
        """Most neighbours of each hop; may be set to other ones."""
        return self._num_neighbors

    @num_neighbors.setter
    def num_neighbors(
        self, value: Sequence[int] | Mapping[EdgeType, Sequence[int]] | NumNeighbors
    ) -> None:
        if not isinstance(value, NumNeighbors):
            if isinstance(value, str) or not isinstance(value, (Sequence, Mapping)):
                raise TypeError(f"'num_neighbors' must be a list of whole numbers, got {value!r}")
            value = NumNeighbors(dict(value) if isinstance(value, Mapping) else list(value))
        if isinstance(value.values, dict) and not self.is_hetero:
            raise TypeError(
                f"'num_neighbors' must be a list for a graph of one edge type, got {value.values!r}"
            )
        types = list(self.graph.relations) if self.is_hetero else None
        fan_outs = value.get_values(types)
        self._fan_outs = fan_outs if self.is_hetero else {EDGE: fan_outs}
        for hops in self._fan_outs.values():
            checked_fan_outs(hops)
        self._num_neighbors = value

    @property
    def is_hetero(self) -> bool:
        """Whether the graph has named types of nodes and edges."""
        return self.graph.is_hetero

    @property
    def disjoint(self) -> bool:
        """Whether every seed has a subgraph of its own."""
        return self._disjoint or self.is_temporal

    def sample_from_nodes(
        self, index: NodeSamplerInput, *, seed: int | None = None
    ) -> SamplerOutput | HeteroSamplerOutput:
        """Sample around nodes.

        Args:
            index: The nodes.
            seed: Number in ``[0, 2**63)`` that picks the draw; from torch's generator if ``None``.
        """
        return self._finished(node_sample(index, partial(self._sample, seed=_or_random(seed))))

    def sample_from_edges(
        self,
        index: EdgeSamplerInput,
        neg_sampling: NegativeSampling | None = None,
        *,
        seed: int | None = None,
    ) -> SamplerOutput | HeteroSamplerOutput:
        """Sample around both ends of links, and of others that are drawn to be none.

        Args:
            index: The links.
            neg_sampling: How negatives are drawn; none are if ``None``.
            seed: Number in ``[0, 2**63)`` that picks the draw, of negatives, too; from torch's
                generator if ``None``.
        """
        seed = _or_random(seed)
        num_nodes: Any = self.graph.num_nodes if self.is_hetero else self.graph.num_nodes[NODE]
        node_time: Any = self.graph.node_time or None
        if node_time is not None and not self.is_hetero:
            node_time = node_time[NODE]
        links = sources = index.row.numel()
        if neg_sampling is not None and neg_sampling.is_binary():
            sources += math.ceil(links * neg_sampling.amount)
        sample = partial(self._sample, seed=seed, links=(links, sources))
        # PyG draws negatives by torch's generator, which belongs to the user. Ranks whose batches
        # have the same seed and other links draw others.
        first = [int(end[0]) for end in (index.row, index.col) if links]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(combine(seed, *first) >> 1)
            out = edge_sample(index, sample, num_nodes, self.disjoint, node_time, neg_sampling)
        return self._finished(out)

    def _finished(
        self, out: SamplerOutput | HeteroSamplerOutput
    ) -> SamplerOutput | HeteroSamplerOutput:
        if self.subgraph_type == SubgraphType.bidirectional:
            return out.to_bidirectional()
        return out

    def _sample(
        self,
        seeds: Tensor | dict[str, Tensor],
        seed_time: Tensor | dict[str, Tensor] | None = None,
        *,
        seed: int,
        links: tuple[int, int] | None = None,
    ) -> SamplerOutput | HeteroSamplerOutput:
        induced = self.subgraph_type == SubgraphType.induced
        plain = not (self.is_hetero or self.disjoint or self.is_weighted or induced)
        if plain and isinstance(seeds, Tensor):
            return self._compiled(seeds, seed)
        # PyG names the only type of a graph nothing.
        seeds = {NODE: seeds} if isinstance(seeds, Tensor) else seeds
        seed_time = {NODE: seed_time} if isinstance(seed_time, Tensor) else seed_time
        out = self._by_relation(seeds, seed_time, seed)
        trees = self._trees(out, seeds, links) if self.disjoint else None
        edges = {key: self._edges(key, position) for key, position in out.position.items()}
        if self.is_hetero:
            return HeteroSamplerOutput(
                node=out.nodes,
                row={key: edge_index[0] for key, edge_index in out.edge_index.items()},
                col={key: edge_index[1] for key, edge_index in out.edge_index.items()},
                edge=edges,
                batch=trees,
                num_sampled_nodes=None if induced else out.num_sampled_nodes,
                num_sampled_edges=None if induced else out.num_sampled_edges,
            )
        return SamplerOutput(
            node=out.nodes[NODE],
            row=out.edge_index[EDGE][0],
            col=out.edge_index[EDGE][1],
            edge=edges[EDGE],
            batch=None if trees is None else trees[NODE],
            num_sampled_nodes=None if induced else out.num_sampled_nodes[NODE],
            num_sampled_edges=None if induced else out.num_sampled_edges[EDGE],
        )

    def _compiled(self, seeds: Tensor, seed: int) -> SamplerOutput:
        relation = self.graph.relations[EDGE]
        out = sample_neighbors(
            relation.rowptr,
            relation.col,
            seeds,
            self._fan_outs[EDGE],
            replace=self.replace,
            seed=seed,
        )
        row, col = out.edge_index.long()
        return SamplerOutput(
            node=out.nodes.long(),
            row=row,
            col=col,
            edge=self._edges(EDGE, out.position),
            num_sampled_nodes=out.num_sampled_nodes,
            num_sampled_edges=out.num_sampled_edges,
        )

    def _by_relation(
        self, seeds: dict[str, Tensor], seed_time: dict[str, Tensor] | None, seed: int
    ) -> RelationSample:
        if self.is_temporal:
            seed_time = {name: self._time(name, seeds[name], seed_time) for name in seeds}
        return sample_relations(
            self.graph.relations,
            self.graph.num_nodes,
            seeds,
            self._fan_outs,
            replace=self.replace,
            disjoint=self.disjoint,
            induced=self.subgraph_type == SubgraphType.induced,
            seed=seed,
            seed_time=seed_time,
            node_time=self.graph.node_time,
            last=self.temporal_strategy == "last",
        )

    def _time(self, name: str, nodes: Tensor, seed_time: dict[str, Tensor] | None) -> Tensor:
        """The time of seeds: as given, or their own."""
        if seed_time is not None:
            return seed_time[name]
        if name in self.graph.node_time:
            return self.graph.node_time[name][nodes]
        raise ValueError(
            "'input_time' must be given where 'time_attr' names no time of the input nodes, "
            "got None"
        )

    def _trees(
        self, out: RelationSample, seeds: dict[str, Tensor], links: tuple[int, int] | None
    ) -> dict[str, Tensor]:
        """The seed, or the link, that each node belongs to."""
        if links is None:
            return out.trees
        # Sources come first, then destinations; behind each of them come those of the negatives,
        # as many for every link.
        count, sources = links
        place = torch.arange(sum(map(len, seeds.values())))
        link = torch.where(place < sources, place, place - sources) % count
        return {name: link[tree] for name, tree in out.trees.items()}

    def _edges(self, key: EdgeType, position: Tensor) -> Tensor:
        edge = self.graph.edge[key]
        return position.long() if edge is None else edge.index_select(0, position).long()


def _check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"'{name}' must be one of {', '.join(choices)}, got {value!r}")


def _or_random(seed: int | None) -> int:
    return int(torch.randint(2**63 - 1, ())) if seed is None else seed
