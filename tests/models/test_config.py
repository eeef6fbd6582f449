from __future__ import annotations

import pytest
from torch.nn import ELU, BatchNorm1d, ReLU

from graphattn.models import METHODS, GATConfig, GATTunedConfig, GATv2Config


@pytest.mark.parametrize("name", METHODS)
def test_builds_the_network_of_its_name(name: str) -> None:
    model = METHODS[name]().build(12, 3)
    assert type(model).__name__.lower() == name.replace("_", "")
    assert model.out_channels == 3


def test_settings_reach_the_layers() -> None:
    config = GATv2Config(
        hidden_channels=16, num_layers=3, heads=2, out_heads=4, dropout=0.3, share_weights=True
    )
    model = config.build(5, 3, edge_dim=2)
    assert [conv.heads for conv in model.convs] == [2, 2, 4]
    assert all(conv.share_weights and conv.edge_dim == 2 for conv in model.convs)
    assert model.dropout.p == 0.3


def test_gat_is_the_paper_s_network_by_default() -> None:
    model = GATConfig().build(1433, 7)
    assert isinstance(model.act, ELU)
    assert (model.dropout.p, model.input_dropout.p) == (0.6, 0.6)
    assert [(conv.heads, conv.concat, conv.dropout) for conv in model.convs] == [
        (8, True, 0.6),
        (1, False, 0.6),
    ]
    other = GATConfig(act="relu", input_dropout=0.0).build(1433, 7)
    assert isinstance(other.act, ReLU)
    assert (other.dropout.p, other.input_dropout.p) == (0.6, 0.0)


def test_tuned_settings_reach_the_blocks() -> None:
    config = GATTunedConfig(
        hidden_channels=16,
        num_layers=4,
        heads=2,
        dropout=0.3,
        attention_dropout=0.1,
        negative_slope=0.4,
        norm="batch_norm",
        sep=True,
        sum_layers=True,
        add_self_loops=True,
    )
    model = config.build(5, 3, edge_dim=2)
    assert len(model.blocks) == 4
    assert model.sum_layers
    for block in model.blocks:
        conv = block.conv
        assert (conv.heads, conv.edge_dim, conv.dropout, conv.negative_slope) == (2, 2, 0.1, 0.4)
        assert conv.add_self_loops
        assert block.sep
        assert isinstance(block.norm, BatchNorm1d)
        assert block.dropout.p == 0.3
        assert block.lin_res is not None
    assert GATTunedConfig(residual=False).build(5, 3).blocks[0].lin_res is None


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("gat", {"heads": 0}, "'heads' must be at least 1, got 0"),
        ("gat", {"heads": 5}, r"'heads' \(5\) must divide 'hidden_channels' \(64\)"),
        ("gat", {"value_dropout": -1.0}, "'value_dropout' must lie in"),
        ("gat", {"act": "elux"}, "'act' must be one of 'elu', 'gelu'"),
        ("gatv2", {"input_dropout": 1.5}, "'input_dropout' must lie in"),
        ("gat_tuned", {"heads": 5}, r"'heads' \(5\) must divide 'hidden_channels' \(512\)"),
        ("gat_tuned", {"norm": "graph_norm"}, "'norm' must be one of"),
        ("gat_tuned", {"attention_dropout": 2.0}, "'attention_dropout' must lie in"),
        ("gatv2", {"jk": "sum"}, "'jk' must be one of"),
        ("mlp", {"num_layers": 0}, "'num_layers' must be at least 1, got 0"),
        ("aero_gnn", {"num_steps": -1}, "'num_steps' must be at least 0, got -1"),
    ],
)
def test_settings_out_of_range(name: str, settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        METHODS[name](**settings)
