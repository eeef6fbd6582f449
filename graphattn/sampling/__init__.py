"""Mini-batches of a large graph as sampled subgraphs."""

from graphattn.sampling.link_neighbor_loader import LinkNeighborLoader
from graphattn.sampling.neighbor_loader import NeighborLoader
from graphattn.sampling.neighbor_sampler import NeighborSampler

__all__ = ["LinkNeighborLoader", "NeighborLoader", "NeighborSampler"]
