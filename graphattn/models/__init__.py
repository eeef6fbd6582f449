"""Whole networks of attention layers, and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphattn._core.lazy import lazy_exports

if TYPE_CHECKING:
    from graphattn.models.config import METHODS, GATConfig, GATv2Config, MLPConfig, ModelConfig
    from graphattn.models.gat import GAT, GATv2
    from graphattn.models.mlp import MLP

__all__ = [
    "GAT",
    "METHODS",
    "MLP",
    "GATConfig",
    "GATv2",
    "GATv2Config",
    "MLPConfig",
    "ModelConfig",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "GAT": "gat",
        "GATConfig": "config",
        "GATv2": "gat",
        "GATv2Config": "config",
        "METHODS": "config",
        "MLP": "mlp",
        "MLPConfig": "config",
        "ModelConfig": "config",
    },
)
