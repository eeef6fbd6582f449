from __future__ import annotations

from graphattn.recipes import recipe
from graphattn.recipes.aero_gnn import GAT_DATA, GATV2_DATA


def test_stopping_follows_the_number_of_labels() -> None:
    cora, texas = recipe("gatv2/cora").train, recipe("gatv2/texas").train
    assert (cora.lr, cora.monitor, cora.patience, cora.max_epochs) == (0.01, "loss", 101, 2000)
    assert (texas.lr, texas.monitor, texas.patience, texas.max_epochs) == (
        0.005,
        "metric",
        501,
        5000,
    )


def test_the_last_layer_averages_eight_heads() -> None:
    for method, names in (("gat", GAT_DATA), ("gatv2", GATV2_DATA)):
        for data in names:
            convs = recipe(f"{method}/{data}").model.build(10, 3).convs
            assert [(conv.heads, conv.concat) for conv in convs][-1] == (8, False)
            if method == "gatv2":
                assert all(conv.share_weights for conv in convs)


def test_data_are_prepared_as_by_the_authors() -> None:
    assert not recipe("gatv2/cora").data.undirected
    assert recipe("gat/actor").data.undirected
    assert not recipe("gat/actor").data.normalize_features
    assert recipe("gat/texas").data.normalize_features
