from __future__ import annotations

import pytest

from graphattn.models import AEROGNNConfig


def test_settings_reach_the_network() -> None:
    config = AEROGNNConfig(
        hidden_channels=16, num_layers=2, num_steps=3, heads=2, lambd=2.0, dropout=0.3
    )
    model = config.build(5, 3)
    assert [lin.out_channels for lin in model.lins] == [16, 16]
    assert (model.conv.num_steps, model.conv.heads, model.conv.lambd) == (3, 2, 2.0)
    assert (model.dropout, model.out_dropout) == (0.3, 0.3)
    assert AEROGNNConfig(out_dropout=0.1).build(5, 3).out_dropout == 0.1


def test_edge_features_have_no_place() -> None:
    with pytest.raises(ValueError, match="'edge_dim' must be None for AERO-GNN, got 2"):
        AEROGNNConfig().build(5, 3, edge_dim=2)
