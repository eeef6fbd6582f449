"""Loaders of an experiment that samples."""

from __future__ import annotations

from typing import Any

from torch_geometric.data import Data

from graphattn.recipes.experiment import SamplingConfig
from graphattn.sampling import NeighborLoader, NeighborSampler
from graphattn.tasks.task import SPLITS
from graphattn.train.ranks import RankSampler, rank_and_count

__all__ = ["make_batches"]


def make_batches(config: SamplingConfig, data: Data, seed: int) -> dict[str, Any]:
    """Make the batches that :func:`graphattn.train.fit` is given; of several processes, its share.

    Args:
        config: How to sample.
        data: The graph, with masks of one split.
        seed: Seed of order and draws.

    Returns:
        ``batches`` and ``eval_batches``; nothing for an experiment on the whole graph.
    """
    if not config.num_neighbors:
        return {}
    rank, ranks = rank_and_count()
    hops = list(config.num_neighbors)
    sampler = NeighborSampler(data, hops)  # sorts all edges
    nodes = data.train_mask.nonzero().view(-1)
    train = NeighborLoader(
        data,
        hops,
        input_nodes=nodes,
        neighbor_sampler=sampler,
        batch_size=config.batch_size,
        sampler=RankSampler(nodes.numel(), config.batch_size, shuffle=True, seed=seed),
        num_workers=config.num_workers,
        seed=seed,
    )
    if config.eval_num_neighbors:
        hops = list(config.eval_num_neighbors)
        sampler = NeighborSampler(data, hops)
    evaluation = {
        split: NeighborLoader(
            data,
            hops,
            input_nodes=data[f"{split}_mask"].nonzero().view(-1)[rank::ranks],
            neighbor_sampler=sampler,
            batch_size=config.eval_batch_size,
            num_workers=config.num_workers,
            seed=seed,
        )
        for split in SPLITS
    }
    return {"batches": train, "eval_batches": evaluation}
