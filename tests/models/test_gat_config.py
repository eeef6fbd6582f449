from __future__ import annotations

from torch.nn import ELU, ReLU

from graphattn.models import GATConfig, GATv2Config


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
