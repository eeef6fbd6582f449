from __future__ import annotations

import pytest

from graphattn.models import METHODS, GATv2Config


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


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("gat", {"heads": 0}, "'heads' must be 1 or more, got 0"),
        ("gat", {"heads": 5}, r"'heads' \(5\) must divide 'hidden_channels' \(64\)"),
        ("gat", {"value_dropout": -1.0}, "'value_dropout' must lie in"),
        ("gatv2", {"jk": "sum"}, "'jk' must be one of"),
        ("mlp", {"num_layers": 0}, "'num_layers' must be 1 or more, got 0"),
        ("aero_gnn", {"num_steps": -1}, "'num_steps' must be 0 or more, got -1"),
    ],
)
def test_settings_out_of_range(name: str, settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        METHODS[name](**settings)
