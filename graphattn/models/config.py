"""Settings of the networks, as a recipe and the command line name them. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from graphattn._core.checks import check_choice, check_count, check_number, check_probability

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = [
    "METHODS",
    "AEROGNNConfig",
    "GATConfig",
    "GATTunedConfig",
    "GATv2Config",
    "MLPConfig",
    "ModelConfig",
    "NodeNorm",
]

Activation = Literal["elu", "gelu", "leaky_relu", "relu", "silu", "tanh"]
Norm = Literal["batch_norm", "graph_norm", "instance_norm", "layer_norm", "pair_norm"]
NodeNorm = Literal["batch_norm", "layer_norm"]
JumpingKnowledge = Literal["cat", "last", "lstm", "max"]


@dataclass(frozen=True)
class _LayersConfig:
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
        if self.hidden_channels % self.heads != 0:
            raise ValueError(
                f"'heads' ({self.heads}) must divide 'hidden_channels' ({self.hidden_channels})"
            )
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


@dataclass(frozen=True)
class GATTunedConfig:
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
        if self.hidden_channels % self.heads != 0:
            raise ValueError(
                f"'heads' ({self.heads}) must divide 'hidden_channels' ({self.hidden_channels})"
            )
        for name in ("dropout", "attention_dropout"):
            check_probability(name, getattr(self, name))
        check_number("negative_slope", self.negative_slope)
        check_choice("norm", self.norm, (None, *get_args(NodeNorm)))

    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes, with parameters drawn anew."""
        from graphattn.models.gat_tuned import GATTuned

        return GATTuned(in_channels, out_channels=out_channels, edge_dim=edge_dim, **asdict(self))


@dataclass(frozen=True)
class MLPConfig:
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


@dataclass(frozen=True)
class AEROGNNConfig:
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
        if self.hidden_channels % self.heads != 0:
            raise ValueError(
                f"'heads' ({self.heads}) must divide 'hidden_channels' ({self.hidden_channels})"
            )
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


ModelConfig = GATConfig | GATv2Config | GATTunedConfig | AEROGNNConfig | MLPConfig

METHODS: Mapping[str, type[ModelConfig]] = MappingProxyType(
    {
        "gat": GATConfig,
        "gatv2": GATv2Config,
        "gat_tuned": GATTunedConfig,
        "aero_gnn": AEROGNNConfig,
        "mlp": MLPConfig,
    }
)
"""Methods by the name that the command line uses."""
