from __future__ import annotations

import pytest
from torch.nn import BatchNorm1d, LayerNorm

from graphattn.recipes import recipe
from graphattn.recipes.gat_tuned import GAT_TUNED_DATA

# Width, layers, rate, decay, dropout, epochs, and published mean, deviation and runs.
TABLE = {
    "cora": (512, 3, 1e-3, 5e-4, 0.2, 500, 84.46, 0.55, 5),
    "citeseer": (256, 3, 1e-3, 1e-2, 0.5, 500, 72.22, 0.84, 5),
    "cs": (256, 1, 1e-3, 5e-4, 0.3, 1500, 96.21, 0.14, 3),
    "chameleon_filtered": (256, 2, 1e-2, 1e-3, 0.7, 200, 44.13, 4.17, 10),
}
NORMS = {"cs": LayerNorm, "chameleon_filtered": BatchNorm1d}


def test_all_sets_have_a_row() -> None:
    assert set(GAT_TUNED_DATA) == set(TABLE)


@pytest.mark.parametrize("data", TABLE)
def test_network_is_the_authors(data: str) -> None:
    width, layers, _, _, dropout, *_ = TABLE[data]
    model = recipe(f"gat_tuned/{data}").model.build(100, 7)
    assert len(model.blocks) == layers
    for block in model.blocks:
        conv = block.conv
        assert (conv.heads, conv.out_channels, conv.negative_slope) == (1, width, 0.2)
        assert (conv.dropout, conv.add_self_loops, conv.bias) == (0.0, False, None)
        assert block.dropout.p == dropout
        assert block.lin_res.bias is not None
        assert isinstance(block.norm, NORMS.get(data, type(None)))
    # Weights and both halves of the scorer, the residual with a bias, the norm, the classifier.
    sizes = [100] + [width] * (layers - 1)
    normed = 2 * width if data in NORMS else 0
    count = sum(2 * size * width + 3 * width + normed for size in sizes) + 7 * (width + 1)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("data", TABLE)
def test_protocol_is_the_authors(data: str) -> None:
    _, _, lr, weight_decay, _, epochs, mean, sd, runs = TABLE[data]
    experiment = recipe(f"gat_tuned/{data}")
    train, published = experiment.train, experiment.published
    assert (train.lr, train.weight_decay, train.l2) == (lr, weight_decay, 0.0)
    assert (train.max_epochs, train.patience, train.monitor) == (epochs, epochs, "metric")
    assert (published.mean, published.sd, published.n) == (mean, sd, runs)
    prepared = experiment.data
    assert (prepared.name, prepared.split) == (data, "tuned")
    assert prepared.undirected
    assert prepared.self_loops
    assert prepared.normalize_features == (data == "cs")
