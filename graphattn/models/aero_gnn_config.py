"""Settings of the network of AERO-GNN. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from graphattn._core.checks import check_count, check_number, check_probability
from graphattn.models.config import ModelConfig, check_heads

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["AEROGNNConfig"]


@dataclass(frozen=True)
class AEROGNNConfig(ModelConfig):
    """The network of the AERO-GNN paper; the defaults are the authors' settings for Cora."""

    hidden_channels: int = 64
    """Width of the states, all heads together."""
    num_layers: int = 1
    """Number of layers of the perceptron before the propagation."""
    num_steps: int = 32
    """Number of propagation steps."""
    heads: int = 1
    """Attention heads."""
    lambd: float = 0.5
    """Decay of what the attention sees; larger lets late steps see more."""
    dropout: float = 0.8
    """Probability of dropping an input of the perceptron's layers."""
    out_dropout: float | None = None
    """Probability of dropping an input of the last layer; as `dropout` if None."""

    def __post_init__(self) -> None:
        for name, least in (("hidden_channels", 1), ("num_layers", 1), ("num_steps", 0)):
            check_count(name, getattr(self, name), least=least)
        check_count("heads", self.heads)
        check_heads(self.hidden_channels, self.heads)
        check_number("lambd", self.lambd)
        check_probability("dropout", self.dropout)
        if self.out_dropout is not None:
            check_probability("out_dropout", self.out_dropout)

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes; there is no place for edge features.

        Raises:
            ValueError: If the data set has edge features.
        """
        from graphattn.models.aero_gnn import AEROGNN

        if edge_dim is not None:
            raise ValueError(f"'edge_dim' must be None for AERO-GNN, got {edge_dim}")
        return AEROGNN(in_channels, out_channels=out_channels, **asdict(self))
