"""Mini-batches of nodes with sampled neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric import loader as pyg
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import BaseSampler
from torch_geometric.sampler.base import SubgraphType

from graphattn.ops.checks import plain
from graphattn.sampling._batches import SeededLoader, checked_seed
from graphattn.sampling._graph import EdgeType
from graphattn.sampling.neighbor_sampler import NeighborSampler

__all__ = ["NeighborLoader"]


class NeighborLoader(pyg.NeighborLoader, SeededLoader):
    """Go through nodes in batches, each with a subgraph of sampled neighbours around it.

    The sampling of `GraphSAGE <https://arxiv.org/abs/1706.02216>`_.
    :class:`torch_geometric.loader.NeighborLoader`, with all its arguments, and with a sampler that
    needs neither pyg-lib nor torch-sparse. A batch has, for its nodes and edges only, what ``data``
    has for all (``x``, ``y``, masks, ``edge_attr``, ...), and

    - ``edge_index``, sources and destinations as places in the batch, sorted by destination (or
      ``adj_t``, if ``data`` has that);
    - ``n_id`` and ``e_id``, the node of ``data`` and the column of ``data.edge_index`` behind each
      node and edge;
    - ``batch_size`` ``B``: the first ``B`` nodes are the input nodes of the batch, in their order;
    - ``input_id``, their places in ``input_nodes`` (their numbers if that is a mask or ``None``);
    - ``num_sampled_nodes`` and ``num_sampled_edges`` of each hop, for models that trim;
    - ``batch``, the input node that each node belongs to, if ``disjoint``.

    With a :class:`~torch_geometric.data.HeteroData` these are attributes of its types. An input
    node that comes twice in a batch is a node of it twice.

    Draws and, with ``shuffle``, the order are a function of ``seed``, the epoch and the number of
    the batch alone: they are the same for any number of workers or threads. Epochs are counted from
    0 by the passes begun over the loader; :meth:`set_epoch` says which one comes next, so that
    interrupted training can go on with the batches that it would have had.

    Args:
        data: The graph: a :class:`~torch_geometric.data.Data`, a
            :class:`~torch_geometric.data.HeteroData`, or a pair of a feature and a graph store.
        num_neighbors: Most neighbours to draw for a node in each hop, one entry per layer; -1 takes
            all. For several edge types, a list for each of them, or one list for all.
        input_nodes: Nodes to go through, as a mask ``[N]`` or as node numbers; all nodes if
            ``None``. For several node types, the name of one, or a pair of it and these.
        input_time: Times of the input nodes in place of those that ``time_attr`` names.
        replace: Draw with replacement.
        subgraph_type: ``"directional"``: the edges drawn; ``"bidirectional"``: these and their
            reverses; ``"induced"``: all between the sampled nodes.
        disjoint: Give every input node a subgraph of its own.
        temporal_strategy: ``"uniform"`` among neighbours early enough, or the ``"last"`` of them.
        time_attr: Name of the times of nodes or edges: nothing later than its input node is drawn.
        weight_attr: Name of edge weights, in proportion to which edges are drawn.
        transform: Called with every batch; gives what is yielded instead.
        transform_sampler_output: The same for what the sampler gives, before it is a batch.
        is_sorted: Taken as PyG does, and without use.
        filter_per_worker: Make batches of sampled subgraphs in the workers; so for graphs on the
            CPU if ``None``.
        neighbor_sampler: What samples, in place of a new
            :class:`~graphattn.sampling.NeighborSampler`.
        directed: The old word for ``subgraph_type``.
        seed: Number in ``[0, 2**63)``. If ``None``, that of ``generator`` or, without one, of the
            last ``torch.manual_seed``.
        input_id: What ``input_id`` of the batches names instead, one number per input node.
        custom_cls: Class of the batches of a pair of stores.
        **kwargs: Arguments of :class:`torch.utils.data.DataLoader`, such as ``batch_size``,
            ``shuffle``, ``sampler`` or ``num_workers``. With a ``generator``, that shuffles.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value does not fit.

    Example:
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[1, 2, 3, 0], [0, 0, 0, 1]]))
        >>> loader = NeighborLoader(data, [2], batch_size=2)
        >>> [(len(batch.n_id), batch.num_edges, batch.batch_size) for batch in loader]
        [(3, 3, 2), (2, 0, 2)]
    """

    # PyG's arguments in PyG's order, torch's through `kwargs`: a program changes its import alone.
    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]],
        input_nodes: Any = None,
        input_time: Tensor | None = None,
        replace: bool = False,
        subgraph_type: SubgraphType | str = "directional",
        disjoint: bool = False,
        temporal_strategy: str = "uniform",
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
        pyg.NeighborLoader.__init__(
            self,
            data,
            num_neighbors,
            input_nodes=checked_input_nodes(data, input_nodes),
            input_time=input_time,
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
        return self._filtered(out, pyg.NeighborLoader.filter_fn)

    def _sample(self, inputs: Any, **wishes: int) -> Any:
        return self.node_sampler.sample_from_nodes(inputs, **wishes)


def checked_input_nodes(data: Any, input_nodes: Any) -> Any:
    """Input nodes in the form that PyG takes.

    Raises:
        TypeError: If they are no mask, no node numbers, or of no node type where there are several.
        ValueError: If a mask has the wrong shape, a number is out of range, or there is no node
            type of that name.
    """
    if isinstance(data, Data):
        if isinstance(input_nodes, tuple) and len(input_nodes) == 2 and input_nodes[0] is None:
            input_nodes = input_nodes[1]
        return _checked_nodes(input_nodes, int(data.num_nodes or 0))
    if not isinstance(data, HeteroData):
        return input_nodes
    name, nodes = (input_nodes, None) if isinstance(input_nodes, str) else _pair(input_nodes)
    if name not in data.node_types:
        raise ValueError(
            f"'input_nodes' must name one of {', '.join(data.node_types)}, got {name!r}"
        )
    return name, _checked_nodes(nodes, int(data[name].num_nodes or 0))


def _pair(input_nodes: Any) -> tuple[str, Any]:
    if (
        isinstance(input_nodes, (tuple, list))
        and len(input_nodes) == 2
        and isinstance(input_nodes[0], str)
    ):
        return input_nodes[0], input_nodes[1]
    raise TypeError(
        "'input_nodes' must be a node type, or a pair of it and nodes, for a graph of several "
        f"types; got {type(input_nodes).__name__}"
    )


def _checked_nodes(input_nodes: Any, num_nodes: int) -> Tensor | None:
    if input_nodes is None:
        return None
    nodes = plain(torch.as_tensor(input_nodes), "input_nodes")
    if nodes.dtype == torch.bool:
        if nodes.shape != (num_nodes,):
            raise ValueError(
                f"'input_nodes' must be a mask of shape [{num_nodes}] or node numbers, "
                f"got a mask of shape {list(nodes.shape)}"
            )
        return nodes
    if nodes.numel() and nodes.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"'input_nodes' must be a mask or int32 or int64, got {nodes.dtype}")
    if nodes.dim() != 1:
        raise ValueError(f"'input_nodes' must have shape [S], got {list(nodes.shape)}")
    nodes = nodes.long()
    outside = nodes[(nodes < 0) | (nodes >= num_nodes)]
    if outside.numel():
        raise ValueError(f"'input_nodes' must lie in [0, {num_nodes}), got {int(outside[0])}")
    return nodes
