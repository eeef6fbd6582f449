"""Sampling neighbours: edges per second on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.sampler import NeighborSampler, NodeSamplerInput
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

from graphattn.bench.case import Lineup, Settings
from graphattn.bench.graphs import LARGE
from graphattn.bench.measuring import Contender, Missing
from graphattn.bench.peers import dgl_graph, import_dgl
from graphattn.ops import build_csr, sample_neighbors

__all__ = ["BATCH", "FAN_OUT", "lineup"]

BATCH = 1024
"""Seeds of a batch."""
FAN_OUT = (15, 10)
"""Neighbours per node in each hop."""
_BATCHES = 20


def lineup(settings: Settings) -> Lineup:
    """Samplers without replacement on the large graph; a step is twenty batches.

    Args:
        settings: Wishes of the user.
    """
    graph = LARGE.scaled(settings.scale)
    edges = graph.edge_index()
    torch.manual_seed(0)
    size = min(BATCH, graph.num_nodes)
    batches = [torch.randperm(graph.num_nodes)[:size] for _ in range(_BATCHES)]
    contenders, missing = [_ours(edges, graph.num_nodes, batches)], []
    for make in (_dgl, _pyg):
        for found in make(edges, graph.num_nodes, batches):
            if isinstance(found, Missing):
                missing.append(found)
            else:
                contenders.append(found)
    return Lineup(contenders, missing)


def _contender(
    name: str,
    kind: str,
    batches: list[Tensor],
    sample: Callable[[Tensor], Any],
    count: Callable[[Any], int],
) -> Contender:
    def step() -> list[Any]:
        return [sample(seeds) for seeds in batches]

    # Others draw anew in every step; the number of edges varies little.
    return Contender(name, kind, step, edges=sum(map(count, step())))


def _ours(edges: Tensor, num_nodes: int, batches: list[Tensor]) -> Contender:
    csr = build_csr(edges.int(), num_src=num_nodes, num_dst=num_nodes)
    return _contender(
        "graphattn sample_neighbors",
        "ours",
        [seeds.int() for seeds in batches],
        lambda seeds: sample_neighbors(csr.rowptr, csr.col, seeds, FAN_OUT, seed=1),
        lambda sample: int(sample.edge_index.size(1)),
    )


def _dgl(edges: Tensor, num_nodes: int, batches: list[Tensor]) -> Iterator[Contender | Missing]:
    try:
        dgl = import_dgl()
    except ImportError as error:
        yield Missing("DGL", f"not importable: {error}")
        return
    graph = dgl_graph(dgl, edges, num_nodes)
    # DGL's fan-outs are in the order of layers, so the last belongs to the seeds. Its fused form is
    # no faster on one thread, and on more it loses edges from the second batch on.
    sampler = dgl.dataloading.NeighborSampler(list(reversed(FAN_OUT)), fused=False)
    yield _contender(
        f"DGL {dgl.__version__} NeighborSampler",
        "dgl",
        [seeds.int() for seeds in batches],
        lambda seeds: sampler.sample_blocks(graph, seeds)[2],
        lambda blocks: sum(block.num_edges() for block in blocks),
    )


def _pyg(edges: Tensor, num_nodes: int, batches: list[Tensor]) -> Iterator[Contender | Missing]:
    name = "PyG NeighborSampler"
    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        yield Missing(name, "needs pyg-lib or torch-sparse, and neither is installed")
        return
    data = Data(edge_index=edges, num_nodes=num_nodes)
    sampler = NeighborSampler(data, num_neighbors=list(FAN_OUT))
    yield _contender(
        name,
        "pyg",
        batches,
        lambda seeds: sampler.sample_from_nodes(NodeSamplerInput(None, seeds)),
        lambda sample: int(sample.row.numel()),
    )
