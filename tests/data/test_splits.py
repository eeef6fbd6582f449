from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import RandomNodeSplit

from graphattn.data import load, random_split, select_split

TUNED = Path(__file__).parents[1] / "parity" / "fixtures" / "tuned" / "splits.npz"

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
    data = random_split(labelled(), "2-per-class/4/rest", seed=0)
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
    data = random_split(labelled(unknown=20), "5-per-class/12/rest", seed=0)
    assert data.y[data.train_mask].bincount().tolist() == [5, 5, 5, 5]
    assert [int(data[name].sum()) for name in MASKS] == [20, 12, 48]
    together = torch.stack([data[name] for name in MASKS]).sum(dim=0)
    assert torch.equal(together.bool(), data.y >= 0)
    assert together.max() == 1


def test_random_split_follows_its_seed_only() -> None:
    draws = []
    for state, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(state)
        draws.append(random_split(labelled(), "5-per-class/12/rest", seed=seed).train_mask)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_random_split_leaves_the_random_state() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    data = labelled()
    random_split(data, "5-per-class/12/rest", seed=0)
    assert torch.equal(torch.rand(4), expected)
    assert "train_mask" not in data


@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_tuned_split_has_the_published_nodes(
    real_root: Path, repository_cards: None, name: str
) -> None:
    """Nodes that Luo et al.'s own code draws, kept with the fixtures."""
    data = load(name, root=real_root, split="tuned", seed=7, offline=True)
    with np.load(TUNED) as parts:
        for part, mask in zip(("train", "valid", "test"), MASKS, strict=True):
            expected = np.sort(parts[f"{name}_{part}"])
            assert data[mask].nonzero().view(-1).tolist() == expected.tolist()


def test_rest_for_test_is_what_pyg_draws() -> None:
    data = labelled()
    torch.manual_seed(4)
    expected = RandomNodeSplit("test_rest", num_train_per_class=5, num_val=12)(data)
    drawn = random_split(data, "5-per-class/12/rest", seed=4)
    for name in MASKS:
        assert torch.equal(drawn[name], expected[name])


def parts_of(data: Data) -> list[int]:
    masks = torch.stack([data[name] for name in MASKS])
    assert masks.sum(dim=0).max() <= 1
    assert not masks[:, data.y < 0].any()
    return masks.sum(dim=1).tolist()


@pytest.mark.parametrize(
    ("rule", "unknown", "sizes"),
    [
        ("60/20/20", 0, [60, 20, 20]),
        ("48/32/20", 0, [48, 32, 20]),
        ("2.5/2.5/95", 20, [2, 2, 76]),
        ("33.3/33.3/33.4", 1, [33, 33, 33]),
        ("10/10/20", 0, [10, 10, 20]),
        ("60/20/20-per-class", 20, [48, 16, 16]),
        ("5-per-class/12/30", 0, [20, 12, 30]),
    ],
)
def test_sizes_of_parts(rule: str, unknown: int, sizes: list[int]) -> None:
    assert parts_of(random_split(labelled(unknown), rule, seed=1)) == sizes


def test_shares_of_every_class() -> None:
    y = torch.tensor([0] * 10 + [1] * 30 + [5] * 100)
    data = random_split(Data(y=y), "60/20/20-per-class", seed=0)
    for name, share in zip(MASKS, (0.6, 0.2, 0.2), strict=True):
        assert y[data[name]].bincount()[[0, 1, 5]].tolist() == [
            round(share * n) for n in (10, 30, 100)
        ]


def test_several_labels_per_node() -> None:
    y = torch.ones(50, 3)
    y[:10] = float("nan")
    y[10, 0] = float("nan")
    data = random_split(Data(y=y), "50/25/25", seed=0)
    assert [int(data[name].sum()) for name in MASKS] == [20, 10, 10]
    assert not data.train_mask[:10].any()
    with pytest.raises(ValueError, match=r"one label per node, but 'y' has shape \[50, 3\]"):
        random_split(Data(y=y), "50/25/25-per-class", seed=0)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("5-per-class/500/1000", r"needs 1500 labelled nodes besides those for training, got 80"),
        ("90-per-class/1/rest", r"leaves 'val_mask' empty"),
        ("0.1/50/49", "of 100 labelled node.s. leaves 'train_mask' empty"),
    ],
)
def test_too_few_nodes(rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_split(labelled(), rule, seed=0)


def test_nobody_has_a_label() -> None:
    with pytest.raises(ValueError, match="of 0 labelled node"):
        random_split(Data(y=torch.full((9,), -1)), "60/20/20", seed=0)
