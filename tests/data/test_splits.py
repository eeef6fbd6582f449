from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from graphattn.data import random_split, select_split

MASKS = ("train_mask", "val_mask", "test_mask")


def labelled(unknown: int = 0) -> Data:
    y = torch.arange(100) % 4
    y[:unknown] = -1
    return Data(x=torch.ones(100, 2), edge_index=torch.zeros(2, 0, dtype=torch.long), y=y)


def test_select_split_takes_one_column() -> None:
    part = (torch.arange(10)[:, None] + torch.arange(3)) % 3
    data = Data(**{name: part == i for i, name in enumerate(MASKS)})
    chosen = select_split(data, 2)
    for i, name in enumerate(MASKS):
        assert torch.equal(chosen[name], part[:, 2] == i)
        assert data[name].shape == (10, 3)


def test_select_split_of_a_single_split() -> None:
    data = random_split(labelled(), train_per_class=2, num_val=4, seed=0)
    assert torch.equal(select_split(data, 0).train_mask, data.train_mask)
    with pytest.raises(ValueError, match=r"'index' must be in \[0, 1\), got 1: 1 split"):
        select_split(data, 1)


@pytest.mark.parametrize("index", [-1, 3])
def test_select_split_out_of_range(index: int) -> None:
    data = Data(**dict.fromkeys(MASKS, torch.ones(5, 3, dtype=torch.bool)))
    with pytest.raises(ValueError, match=rf"'index' must be in \[0, 3\), got {index}: 3 split"):
        select_split(data, index)


@pytest.mark.parametrize("index", ["0", 1.0, True])
def test_select_split_wants_an_integer(index: object) -> None:
    data = Data(**dict.fromkeys(MASKS, torch.ones(5, 3, dtype=torch.bool)))
    with pytest.raises(TypeError, match="'index' must be an integer"):
        select_split(data, index)  # type: ignore[arg-type]


def test_random_split_has_equal_classes_and_no_unknown_nodes() -> None:
    data = random_split(labelled(unknown=20), train_per_class=5, num_val=12, seed=0)
    assert data.y[data.train_mask].bincount().tolist() == [5, 5, 5, 5]
    assert [int(data[name].sum()) for name in MASKS] == [20, 12, 48]
    together = torch.stack([data[name] for name in MASKS]).sum(dim=0)
    assert torch.equal(together.bool(), data.y >= 0)
    assert together.max() == 1


def test_random_split_follows_its_seed_only() -> None:
    draws = []
    for state, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(state)
        draws.append(random_split(labelled(), train_per_class=5, num_val=12, seed=seed).train_mask)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_random_split_leaves_the_random_state() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    data = labelled()
    random_split(data, train_per_class=5, num_val=12, seed=0)
    assert torch.equal(torch.rand(4), expected)
    assert "train_mask" not in data
