from __future__ import annotations

from graphattn.recipes import recipe
from graphattn.recipes.aero_gnn import AERO_GNN_DATA, GAT_DATA, GATV2_DATA
from graphattn.train.step import make_optimizer


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
    for data in AERO_GNN_DATA:
        assert recipe(f"aero_gnn/{data}").data.self_loops


def test_network_is_the_authors() -> None:
    cora = recipe("aero_gnn/cora").model.build(1433, 7)
    # As counted with the authors' class.
    assert sum(parameter.numel() for parameter in cora.parameters()) == 98_472
    assert (len(cora.lins), cora.conv.num_steps, cora.conv.heads, cora.conv.lambd) == (
        1,
        32,
        1,
        0.5,
    )
    assert (cora.dropout, cora.out_dropout) == (0.8, 0.8)
    wisconsin = recipe("aero_gnn/wisconsin").model.build(1703, 5)
    assert (len(wisconsin.lins), wisconsin.conv.num_steps, wisconsin.conv.lambd) == (2, 4, 1.0)
    assert (wisconsin.dropout, wisconsin.out_dropout) == (0.5, 0.0)


def test_attention_has_a_weight_decay_of_its_own() -> None:
    experiment = recipe("aero_gnn/wisconsin")
    model = experiment.model.build(1703, 5)
    groups = make_optimizer(model, experiment.train).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == {
        **{f"{lin}.{kind}": 0.001 for lin in ("lins.0", "lins.1") for kind in ("weight", "bias")},
        **{f"lin_out.{kind}": 0.001 for kind in ("weight", "bias")},
        **{f"conv.{kind}": 5e-4 for kind in ("att", "hop_att_0", "hop_att", "hop_bias")},
    }
