from __future__ import annotations

import pytest

from graphattn.recipes import recipe


@pytest.mark.parametrize("data", ["cora", "citeseer"])
def test_network_and_training_are_the_paper_s(data: str) -> None:
    experiment = recipe(f"gat/{data}")
    model = experiment.model.build(1433, 7)
    assert [(conv.heads, conv.out_channels, conv.concat) for conv in model.convs] == [
        (8, 8, True),
        (1, 7, False),
    ]
    assert model.dropout.p == 0.6
    assert {(conv.dropout, conv.value_dropout) for conv in model.convs} == {(0.6, 0.6)}
    train = experiment.train
    assert (train.lr, train.weight_decay, train.patience, train.monitor) == (
        0.005,
        5e-4,
        100,
        "loss_and_metric",
    )
    assert experiment.data.normalize_features
