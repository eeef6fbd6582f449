"""The embedded data set: scikit-learn's handwritten digits as a nearest-neighbour graph."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

__all__ = ["digits"]

NEIGHBOURS = 8


def digits() -> Data:
    """1,797 images of 8 x 8 pixels, each joined with the images most like it.

    Two images are neighbours when one is among the 8 nearest of the other, by Euclidean distance
    of the pixels; of equally distant ones the first counts. Needs no file and no network.

    Returns:
        A graph with ``x`` of shape ``[1797, 64]`` in [0, 1], an undirected ``edge_index`` without
        self-loops, and ``y``, the digit shown. It has no masks.
    """
    images, labels = load_digits(return_X_y=True)
    # Pixels are integers, so squared distances are exact and, with a stable sort, the graph is the
    # same everywhere. `kneighbors_graph` breaks ties differently with another number of threads.
    distance = pairwise_distances(images, metric="sqeuclidean")
    np.fill_diagonal(distance, np.inf)
    nearest = torch.from_numpy(np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS].copy())
    src = torch.arange(len(nearest)).repeat_interleave(NEIGHBOURS)
    return Data(
        x=torch.from_numpy((images / 16.0).astype(np.float32)),
        edge_index=to_undirected(torch.stack([src, nearest.reshape(-1)])),
        y=torch.from_numpy(labels.astype(np.int64)),
    )
