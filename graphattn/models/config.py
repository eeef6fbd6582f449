"""What the settings of all networks have in common. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["ModelConfig", "check_heads"]


@dataclass(frozen=True)
class ModelConfig(ABC):
    """Settings of a network, as a recipe, ``config.yaml`` and the command line name them.

    A method has a frozen dataclass of them in ``<method>_config.py``, beside its network, and a
    line in :data:`graphattn.models.METHODS`. Neither imports torch, so that ``graphattn --help``
    is fast; the network is imported when it is made.
    """

    @abstractmethod
    def build(self, in_channels: int, out_channels: int, edge_dim: int | None = None) -> Module:
        """Make the network for a data set's sizes, with parameters drawn anew.

        Args:
            in_channels: Width of the node features.
            out_channels: Width of the output.
            edge_dim: Width of the edge features, if there are any.
        """


def check_heads(hidden_channels: int, heads: int) -> None:
    """Reject heads that can't share the hidden channels.

    Raises:
        ValueError: If the number of heads does not divide that of channels.
    """
    if hidden_channels % heads != 0:
        raise ValueError(f"'heads' ({heads}) must divide 'hidden_channels' ({hidden_channels})")
