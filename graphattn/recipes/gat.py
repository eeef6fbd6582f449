"""Graph Attention Networks, Velickovic et al., ICLR 2018 (https://arxiv.org/abs/1710.10903)."""

from __future__ import annotations

from graphattn.models import GATConfig, MLPConfig
from graphattn.recipes.experiment import DataConfig, Experiment, Published, SamplingConfig
from graphattn.train import TrainConfig

__all__ = ["citeseer", "cora", "digits", "digits_mlp", "digits_sampled"]

_SOURCE = "GAT paper, table 2"
# Section 3.3 and the authors' script for Cora: Adam until neither validation loss nor accuracy has
# improved for 100 epochs.
_TRAIN = TrainConfig(
    lr=0.005, weight_decay=5e-4, max_epochs=100_000, patience=100, monitor="loss_and_metric"
)


# The authors' code drops the transformed features, too, which the paper does not mention. On
# Citeseer it matters.
_MODEL = GATConfig(hidden_channels=64, heads=8, out_heads=1, dropout=0.6, value_dropout=0.6)


def cora() -> Experiment:
    """GAT on Cora with the public split, as in the authors' code."""
    return Experiment(
        name="gat/cora",
        model=_MODEL,
        data=DataConfig("cora", "public", normalize_features=True, sparse_features=True),
        train=_TRAIN,
        published=Published(83.0, 0.7, 100, _SOURCE),
    )


def citeseer() -> Experiment:
    """GAT on Citeseer with the public split, settings of the paper."""
    return Experiment(
        name="gat/citeseer",
        model=_MODEL,
        data=DataConfig("citeseer", "public", normalize_features=True, sparse_features=True),
        train=_TRAIN,
        published=Published(72.5, 0.7, 100, _SOURCE),
    )


def digits() -> Experiment:
    """GAT on the embedded graph of digits; no paper has it."""
    return Experiment(
        name="gat/digits",
        model=GATConfig(hidden_channels=64, heads=8, out_heads=1, dropout=0.4),
        data=DataConfig("digits"),
        train=TrainConfig(lr=0.01, weight_decay=5e-4, max_epochs=300, patience=50),
        baseline="mlp/digits",
    )


def digits_sampled() -> Experiment:
    """The same in batches of sampled neighbours: what it takes where a graph is too large."""
    return Experiment(
        name="gat/digits_sampled",
        model=GATConfig(hidden_channels=64, heads=8, out_heads=1, dropout=0.4),
        data=DataConfig("digits"),
        train=TrainConfig(lr=0.01, weight_decay=5e-4, max_epochs=150, patience=30),
        sampling=SamplingConfig(num_neighbors=(5, 5), batch_size=25, eval_batch_size=500),
    )


def digits_mlp() -> Experiment:
    """What the same training gives without the edges of the graph of digits."""
    return Experiment(
        name="mlp/digits",
        model=MLPConfig(hidden_channels=64, dropout=0.4),
        data=DataConfig("digits"),
        train=TrainConfig(lr=0.01, weight_decay=5e-4, max_epochs=300, patience=50),
    )
