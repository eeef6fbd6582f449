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
