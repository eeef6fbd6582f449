from __future__ import annotations

import pytest

from graphattn.models import METHODS, ModelConfig


@pytest.mark.parametrize("name", METHODS)
def test_builds_the_network_of_its_name(name: str) -> None:
    assert issubclass(METHODS[name], ModelConfig)
    model = METHODS[name]().build(12, 3)
    assert type(model).__name__.lower() == name.replace("_", "")
    assert model.out_channels == 3


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
