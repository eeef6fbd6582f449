from __future__ import annotations

from torch.nn import BatchNorm1d

from graphattn.models import GATTunedConfig


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
