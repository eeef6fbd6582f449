"""Mini-batches of a large graph as sampled subgraphs."""

from graphattn.sampling.neighbor_loader import NeighborLoader

__all__ = ["NeighborLoader"]
