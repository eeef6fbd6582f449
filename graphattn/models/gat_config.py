"""Settings of the networks of GAT and GATv2. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from graphattn._core.checks import check_choice, check_count, check_number, check_probability
from graphattn.models.config import ModelConfig, check_heads

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["GATConfig", "GATv2Config"]

Activation = Literal["elu", "gelu", "leaky_relu", "relu", "silu", "tanh"]
Norm = Literal["batch_norm", "graph_norm", "instance_norm", "layer_norm", "pair_norm"]
JumpingKnowledge = Literal["cat", "last", "lstm", "max"]


@dataclass(frozen=True)
class _LayersConfig(ModelConfig):
    """What the networks of GAT and GATv2 share; the defaults are the GAT paper's for Cora."""

    hidden_channels: int = 64
    """Width of the hidden layers, all heads together."""
    num_layers: int = 2
    """Number of layers."""
    heads: int = 8
    """Attention heads of a hidden layer."""
    out_heads: int = 1
    """Attention heads of the last layer, which are averaged."""
    act: Activation = "elu"
    """Activation between layers."""
    dropout: float = 0.6
    """Probability of dropping an input of a layer."""
    input_dropout: float | None = None
    """Probability of dropping an input of the first layer; as `dropout` if None."""
    attention_dropout: float | None = None
    """Probability of dropping an attention coefficient; as `dropout` if None."""
    negative_slope: float = 0.2
    """Slope of the LeakyReLU below zero."""
    add_self_loops: bool = True
    """Let each node attend to itself."""
    residual: bool = False
    """Add a linear map of a layer's input to its output."""
    norm: Norm | None = None
    """Normalisation after hidden layers."""
    jk: JumpingKnowledge | None = None
    """How the output depends on all layers."""

    def __post_init__(self) -> None:
        for name in ("hidden_channels", "num_layers", "heads", "out_heads"):
            check_count(name, getattr(self, name))
        check_heads(self.hidden_channels, self.heads)
        check_choice("act", self.act, get_args(Activation))
        check_probability("dropout", self.dropout)
        for name in ("input_dropout", "attention_dropout"):
            if getattr(self, name) is not None:
                check_probability(name, getattr(self, name))
        check_number("negative_slope", self.negative_slope)
        check_choice("norm", self.norm, (None, *get_args(Norm)))
        check_choice("jk", self.jk, (None, *get_args(JumpingKnowledge)))

    def _options(self) -> dict[str, Any]:
        """The settings as arguments of the network."""
        options = asdict(self)
        if self.input_dropout is None:
            options["input_dropout"] = self.dropout
        return options


@dataclass(frozen=True)
class GATConfig(_LayersConfig):
    """The network of the GAT paper; the defaults are its settings for Cora."""

    value_dropout: float = 0.0
    """Probability of dropping a transformed feature from the sum, as the authors' code does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("value_dropout", self.value_dropout)

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes, with parameters drawn anew."""
        from graphattn.models.gat import GAT

        return GAT(in_channels, out_channels=out_channels, edge_dim=edge_dim, **self._options())


@dataclass(frozen=True)
class GATv2Config(_LayersConfig):
    """The network of the GATv2 paper."""

    share_weights: bool = False
    """Transform destinations with the weights of the sources."""

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes, with parameters drawn anew."""
        from graphattn.models.gat import GATv2

        return GATv2(in_channels, out_channels=out_channels, edge_dim=edge_dim, **self._options())
