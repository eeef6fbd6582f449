from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from torch_geometric.utils import homophily, to_dense_adj

from graphattn.data import load
from graphattn.data.digits import digits


def test_what_the_card_says() -> None:
    data = load("digits", offline=True)
    assert data.x.shape == (1797, 64)
    assert data.num_classes == 10
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [50, 500, 1247]
    assert data.y[data.train_mask].bincount().tolist() == [5] * 10
    assert 0.0 == data.x.min() < data.x.max() == 1.0


def test_neighbours_are_the_nearest() -> None:
    data = digits()
    adjacency = to_dense_adj(data.edge_index, max_num_nodes=1797)[0].bool()
    assert torch.equal(adjacency, adjacency.T)
    images = load_digits().data
    reach, _ = NearestNeighbors(n_neighbors=9).fit(images).kneighbors(images)
    for node in (0, 17, 1796):
        distance = np.linalg.norm(images - images[node], axis=1)
        # By its own choice or by theirs; ties at the rim may go either way.
        surely = (distance < reach[node, 8]) | (distance < reach[:, 8])
        surely[node] = False
        maybe = (distance <= reach[node, 8] + 1e-9) | (distance <= reach[:, 8] + 1e-9)
        found = adjacency[node].numpy()
        assert (found >= surely).all()
        assert (found <= maybe).all()


def test_neighbours_share_the_digit() -> None:
    data = digits()
    assert abs(homophily(data.edge_index, data.y) - 0.9614) < 1e-3


def test_fixed_split_ignores_the_seed_and_random_does_not() -> None:
    fixed = [load("digits", seed=seed).train_mask for seed in (0, 1)]
    drawn = [load("digits", split="random", seed=seed).train_mask for seed in (0, 1)]
    assert torch.equal(fixed[0], fixed[1])
    assert not torch.equal(drawn[0], drawn[1])
