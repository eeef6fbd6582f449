"""All methods by name. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graphattn.models.aero_gnn_config import AEROGNNConfig
from graphattn.models.config import ModelConfig
from graphattn.models.gat_config import GATConfig, GATv2Config
from graphattn.models.gat_tuned_config import GATTunedConfig
from graphattn.models.mlp_config import MLPConfig

__all__ = ["METHODS"]

METHODS: Mapping[str, type[ModelConfig]] = MappingProxyType(
    {
        "gat": GATConfig,
        "gatv2": GATv2Config,
        "gat_tuned": GATTunedConfig,
        "aero_gnn": AEROGNNConfig,
        "mlp": MLPConfig,
    }
)
"""Settings of every method by the name that the command line and run folders use."""
