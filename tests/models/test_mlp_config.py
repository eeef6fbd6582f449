from __future__ import annotations

from graphattn.models import MLPConfig


def test_settings_reach_the_network() -> None:
    model = MLPConfig(hidden_channels=16, num_layers=3, dropout=0.2).build(5, 4, edge_dim=2)
    assert model.channel_list == [5, 16, 16, 4]
    assert model.dropout == [0.2, 0.2, 0.0]
