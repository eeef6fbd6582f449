from __future__ import annotations

import pytest
import torch

from graphattn.ops.dropout import draw_seed, dropout_factor, edge_dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_rate_and_scale(p: float) -> None:
    factor = dropout_factor(torch.arange(200_000), torch.tensor([123]), p)
    assert set(factor.unique().tolist()) == {0.0, torch.tensor(1 / (1 - p)).item()}
    assert abs((factor == 0).double().mean().item() - p) < 0.005


def test_extremes() -> None:
    counter, seed = torch.arange(1000), torch.tensor([5])
    assert (dropout_factor(counter, seed, 0.0) == 1).all()
    assert (dropout_factor(counter, seed, 1.0) == 0).all()


def test_seeds_and_counters_decide() -> None:
    counter = torch.arange(10_000)
    masks = [
        dropout_factor(c, torch.tensor([s]), 0.5) == 0
        for c, s in ((counter, 1), (counter, 2), (counter, 1 + (1 << 32)), (counter + (5 << 32), 1))
    ]
    # Independent masks agree in half of the places.
    for i in range(4):
        for j in range(i):
            agree = (masks[i] == masks[j]).double().mean().item()
            assert abs(agree - 0.5) < 0.03, (i, j)
    for lag in (1, 8, 64):
        agree = (masks[0][lag:] == masks[0][:-lag]).double().mean().item()
        assert abs(agree - 0.5) < 0.03


def test_edges_are_numbered_by_rows() -> None:
    position, seed = torch.tensor([2, 0, 3, 1]), torch.tensor([9])
    dropped = edge_dropout(torch.ones(4, 2), position, seed, 0.5)
    expected = dropout_factor(torch.arange(8).view(4, 2), seed, 0.5)
    torch.testing.assert_close(dropped, expected[position])


def test_seeds_come_from_torch_s_generator() -> None:
    torch.manual_seed(3)
    first = draw_seed(torch.device("cpu"))
    torch.manual_seed(3)
    assert torch.equal(first, draw_seed(torch.device("cpu")))
    assert not torch.equal(first, draw_seed(torch.device("cpu")))
