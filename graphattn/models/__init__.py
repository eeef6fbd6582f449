"""Whole networks of attention layers, and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphattn._core.lazy import lazy_exports

if TYPE_CHECKING:
    from graphattn.models.aero_gnn import AEROGNN
    from graphattn.models.aero_gnn_config import AEROGNNConfig
    from graphattn.models.blocks import AttentionBlock
    from graphattn.models.config import ModelConfig
    from graphattn.models.gat import GAT, GATv2
    from graphattn.models.gat_config import GATConfig, GATv2Config
    from graphattn.models.gat_tuned import GATTuned
    from graphattn.models.gat_tuned_config import GATTunedConfig
    from graphattn.models.methods import METHODS
    from graphattn.models.mlp import MLP
    from graphattn.models.mlp_config import MLPConfig

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
        "AEROGNNConfig": "aero_gnn_config",
        "AttentionBlock": "blocks",
        "GAT": "gat",
        "GATConfig": "gat_config",
        "GATTuned": "gat_tuned",
        "GATTunedConfig": "gat_tuned_config",
        "GATv2": "gat",
        "GATv2Config": "gat_config",
        "METHODS": "methods",
        "MLP": "mlp",
        "MLPConfig": "mlp_config",
        "ModelConfig": "config",
    },
)
