"""Settings of the networks, as a recipe and the command line name them. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["METHODS", "GATConfig", "GATv2Config", "MLPConfig", "ModelConfig"]


@dataclass(frozen=True)
class GATConfig:
    """The network of the GAT paper; the defaults are its settings for Cora."""

    hidden_channels: int = 64
    """Width of the hidden layers, all heads together."""
    num_layers: int = 2
    """Number of layers."""
    heads: int = 8
    """Attention heads of a hidden layer."""
    out_heads: int = 1
    """Attention heads of the last layer, which are averaged."""
    dropout: float = 0.6
    """Probability of dropping an input of a layer."""
    attention_dropout: float | None = None
    """Probability of dropping an attention coefficient; as `dropout` if None."""
    negative_slope: float = 0.2
    """Slope of the LeakyReLU below zero."""
    add_self_loops: bool = True
    """Let each node attend to itself."""
    residual: bool = False
    """Add a linear map of a layer's input to its output."""
    norm: str | None = None
    """Normalisation after hidden layers, by PyG's name (batch_norm, layer_norm, ...)."""
    jk: str | None = None
    """Jumping knowledge over layers: cat, max, lstm or last."""

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes, with parameters drawn anew."""
        from graphattn.models.gat import GAT

        return GAT(in_channels, out_channels=out_channels, edge_dim=edge_dim, **asdict(self))


@dataclass(frozen=True)
class GATv2Config(GATConfig):
    """The network of the GATv2 paper."""

    share_weights: bool = False
    """Transform destinations with the weights of the sources."""

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes, with parameters drawn anew."""
        from graphattn.models.gat import GATv2

        return GATv2(in_channels, out_channels=out_channels, edge_dim=edge_dim, **asdict(self))


@dataclass(frozen=True)
class MLPConfig:
    """A perceptron, the comparison that sees no edges."""

    hidden_channels: int = 64
    """Width of the hidden layers."""
    num_layers: int = 2
    """Number of layers."""
    dropout: float = 0.5
    """Probability of dropping a hidden value."""

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes; edge features are not used."""
        from graphattn.models.mlp import MLP

        return MLP(in_channels=in_channels, out_channels=out_channels, **asdict(self))


ModelConfig = GATConfig | GATv2Config | MLPConfig

METHODS: Mapping[str, type[ModelConfig]] = MappingProxyType(
    {"gat": GATConfig, "gatv2": GATv2Config, "mlp": MLPConfig}
)
"""Methods by the name that the command line uses."""
