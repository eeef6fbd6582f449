"""Whole networks of attention layers, and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphattn._core.lazy import lazy_exports

if TYPE_CHECKING:
    from graphattn.models.aero_gnn import AEROGNN
    from graphattn.models.blocks import AttentionBlock
    from graphattn.models.config import (
        METHODS,
        AEROGNNConfig,
        GATConfig,
        GATTunedConfig,
        GATv2Config,
        MLPConfig,
        ModelConfig,
    )
    from graphattn.models.gat import GAT, GATv2
    from graphattn.models.gat_tuned import GATTuned
    from graphattn.models.mlp import MLP

__all__ = [
    "AEROGNN",
    "GAT",
    "METHODS",
    "MLP",
    "AEROGNNConfig",
    "AttentionBlock",
    "GATConfig",
    "GATTuned",
    "GATTunedConfig",
    "GATv2",
    "GATv2Config",
    "MLPConfig",
    "ModelConfig",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "AEROGNN": "aero_gnn",
        "AEROGNNConfig": "config",
        "AttentionBlock": "blocks",
        "GAT": "gat",
        "GATConfig": "config",
        "GATTuned": "gat_tuned",
        "GATTunedConfig": "config",
        "GATv2": "gat",
        "GATv2Config": "config",
        "METHODS": "config",
        "MLP": "mlp",
        "MLPConfig": "config",
        "ModelConfig": "config",
    },
)
