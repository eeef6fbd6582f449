"""Settings of the perceptron. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from graphattn._core.checks import check_count, check_probability
from graphattn.models.config import ModelConfig

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["MLPConfig"]


@dataclass(frozen=True)
class MLPConfig(ModelConfig):
    """A perceptron, the comparison that sees no edges."""

    hidden_channels: int = 64
    """Width of the hidden layers."""
    num_layers: int = 2
    """Number of layers."""
    dropout: float = 0.5
    """Probability of dropping a hidden value."""

    def __post_init__(self) -> None:
        check_count("hidden_channels", self.hidden_channels)
        check_count("num_layers", self.num_layers)
        check_probability("dropout", self.dropout)

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes; edge features are not used."""
        from graphattn.models.mlp import MLP

        return MLP(in_channels=in_channels, out_channels=out_channels, **asdict(self))
