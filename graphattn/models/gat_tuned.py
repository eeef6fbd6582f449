"""A plain GAT as it is tuned today: residuals, normalisation, and a linear classifier."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.typing import Adj

from graphattn.models.blocks import AttentionBlock, OutputMap
from graphattn.models.gat_tuned_config import NodeNorm
from graphattn.nn import GATConv, Linear

__all__ = ["GATTuned"]


class GATTuned(nn.Module):
    r"""The GAT of `"Classic GNNs are Strong Baselines" <https://arxiv.org/abs/2406.08993>`_.

    .. math::
        \mathbf{h}_{l} = \mathrm{drop}(\mathrm{ReLU}(\mathrm{norm}(\mathrm{GATConv}(
        \mathbf{h}_{l-1}) + \mathbf{W}_l \mathbf{h}_{l-1} + \mathbf{b}_l))), \qquad
        \mathbf{z} = \mathbf{W} \mathbf{h}_L + \mathbf{b}.

    Each layer is a :class:`graphattn.models.AttentionBlock`. The input is not dropped, so features
    given as a ``torch.sparse_csr`` matrix stay sparse through both maps of the first layer. The
    layers add no self-loops of their own: in the paper the graph has one per node.

    Args:
        in_channels: Width of the node features.
        hidden_channels: Width of the hidden layers, all heads together.
        num_layers: Number of attention layers, at least 1.
        out_channels: Width of the output.
        heads: Attention heads; divides ``hidden_channels``.
        dropout: Probability of dropping an output of a layer, in ``[0, 1]``.
        attention_dropout: Probability of dropping a coefficient, in ``[0, 1]``.
        negative_slope: Slope of the LeakyReLU below zero.
        norm: ``"layer_norm"`` over the channels of each node, ``"batch_norm"`` over all nodes for
            each channel, or ``None``.
        residual: Add a linear map of a layer's input.
        sep: Put a node's own features beside its message, and map both to the width.
        feed_forward: Map what the attention gives by two layers.
        sum_layers: Classify the sum of all layers' outputs instead of the last.
        add_self_loops: Let each node attend to itself.
        edge_dim: Width of ``edge_attr``, if there is one.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> model = GATTuned(1433, 512, num_layers=3, out_channels=7, dropout=0.2)
        >>> model
        GATTuned(1433, 7, num_layers=3)
        >>> model(torch.randn(3, 1433), torch.tensor([[0, 1, 2], [0, 1, 2]])).shape
        torch.Size([3, 7])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        *,
        heads: int = 1,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        negative_slope: float = 0.2,
        norm: NodeNorm | None = None,
        residual: bool = True,
        sep: bool = False,
        feed_forward: bool = False,
        sum_layers: bool = False,
        add_self_loops: bool = False,
        edge_dim: int | None = None,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1, got {num_layers}")
        if heads < 1 or hidden_channels % heads != 0:
            raise ValueError(f"'heads' ({heads}) must divide 'hidden_channels' ({hidden_channels})")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_layers = num_layers
        self.sum_layers = sum_layers
        output_map: OutputMap | None = "linear" if sep else None
        widths = [in_channels] + [hidden_channels] * (num_layers - 1)
        self.blocks = nn.ModuleList(
            AttentionBlock(
                width,
                hidden_channels,
                GATConv(
                    width,
                    hidden_channels // heads,
                    heads=heads,
                    negative_slope=negative_slope,
                    dropout=attention_dropout,
                    add_self_loops=add_self_loops,
                    edge_dim=edge_dim,
                    bias=False,
                ),
                sep=sep,
                output_map="feed_forward" if feed_forward else output_map,
                residual="linear" if residual else None,
                norm=norm,
                dropout=dropout,
            )
            for width in widths
        )
        self.lin_out = Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in (*self.blocks, self.lin_out):
            module.reset_parameters()

    def forward(self, x: Tensor, edge_index: Adj, edge_attr: Tensor | None = None) -> Tensor:
        """Compute node outputs.

        Args:
            x: Node features, dense or ``torch.sparse_csr``. Shape ``[N, in_channels]``.
            edge_index: Edges in any form that the layers take.
            edge_attr: Edge features. Shape ``[E, edge_dim]``.

        Returns:
            Outputs. Shape ``[N, out_channels]``.

        Raises:
            TypeError: If ``x`` is no tensor.
            ValueError: If the width of ``x`` is not ``in_channels``; see also the layer.
        """
        total = None
        for block in self.blocks:
            x = block(x, edge_index, edge_attr)
            total = x if total is None or not self.sum_layers else total + x
        out: Tensor = self.lin_out(total)
        return out

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"num_layers={self.num_layers})"
        )
