"""Settings of the tuned GAT. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

from graphattn._core.checks import check_choice, check_count, check_number, check_probability
from graphattn.models.config import ModelConfig, check_heads

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["GATTunedConfig", "NodeNorm"]

NodeNorm = Literal["batch_norm", "layer_norm"]


@dataclass(frozen=True)
class GATTunedConfig(ModelConfig):
    """A plain GAT with residuals and normalisation; the defaults are the tuned ones for Cora."""

    hidden_channels: int = 512
    """Width of the hidden layers, all heads together."""
    num_layers: int = 3
    """Number of attention layers; a linear classifier follows."""
    heads: int = 1
    """Attention heads."""
    dropout: float = 0.2
    """Probability of dropping an output of a layer."""
    attention_dropout: float = 0.0
    """Probability of dropping an attention coefficient."""
    negative_slope: float = 0.2
    """Slope of the LeakyReLU below zero."""
    norm: NodeNorm | None = None
    """Normalisation of a layer's output, per node (layer_norm) or per channel (batch_norm)."""
    residual: bool = True
    """Add a linear map of a layer's input to its output."""
    sep: bool = False
    """Put a node's own features beside those of its neighbours, and map both to the width."""
    feed_forward: bool = False
    """Map what a layer's attention gives by a perceptron of two layers."""
    sum_layers: bool = False
    """Classify the sum of all layers' outputs instead of the last."""
    add_self_loops: bool = False
    """Let each node attend to itself, where the data have no self-loops yet."""

    def __post_init__(self) -> None:
        for name in ("hidden_channels", "num_layers", "heads"):
            check_count(name, getattr(self, name))
        check_heads(self.hidden_channels, self.heads)
        for name in ("dropout", "attention_dropout"):
            check_probability(name, getattr(self, name))
        check_number("negative_slope", self.negative_slope)
        check_choice("norm", self.norm, (None, *get_args(NodeNorm)))

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes, with parameters drawn anew."""
        from graphattn.models.gat_tuned import GATTuned

        return GATTuned(in_channels, out_channels=out_channels, edge_dim=edge_dim, **asdict(self))
