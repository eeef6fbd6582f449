"""The networks of the GAT and GATv2 papers."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from torch import Tensor
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.typing import Adj

from graphattn.nn import AttentionConv, GATConv, GATv2Conv
from graphattn.ops import sparse_dropout
from graphattn.ops.checks import check_tensor

__all__ = ["GAT", "GATv2"]


class GAT(BasicGNN):
    """Layers of :class:`graphattn.nn.GATConv`, as in `the paper <https://arxiv.org/abs/1710.10903>`_.

    Hidden layers concatenate their heads, the last one averages them. Dropout acts on the input of
    each layer, the first included, and on the attention coefficients (section 3.3 of the paper).
    Features given as a ``torch.sparse_csr`` matrix stay sparse: only their non-zeros are dropped,
    and the first projection multiplies a sparse matrix.

    Constructor words and sub-modules are those of :class:`torch_geometric.nn.GAT`, so a state dict
    of it loads if ``out_heads`` equals ``heads``.

    Note:
        Unlike PyG's model, the input of the first layer is dropped too, ``out_heads`` may differ
        from ``heads``, and the activation defaults to ELU.

    Args:
        in_channels: Width of the node features, or ``-1`` to take it from the first input.
        hidden_channels: Width of hidden layers, all heads together.
        num_layers: Number of layers.
        out_channels: Width of the output; ``hidden_channels`` if ``None``.
        dropout: Probability of dropping an input of a layer, in ``[0, 1]``.
        act: Activation between layers, by PyG's name or as a callable.
        heads: Heads of a hidden layer; divides ``hidden_channels``.
        out_heads: Heads of the last layer; ``heads`` if ``None``.
        attention_dropout: Probability of dropping a coefficient; ``dropout`` if ``None``.
        act_first: Apply the activation before the normalisation.
        act_kwargs: Arguments of the activation.
        norm: Normalisation after hidden layers, by PyG's name or as a module.
        norm_kwargs: Arguments of the normalisation.
        jk: Jumping knowledge (``"last"``, ``"cat"``, ``"max"``, ``"lstm"``).
        **kwargs: Arguments of the layer, such as ``edge_dim`` or ``residual``.

    Raises:
        ValueError: If ``heads`` does not divide ``hidden_channels``.

    Example:
        >>> model = GAT(1433, 64, num_layers=2, out_channels=7, heads=8, out_heads=1)
        >>> model
        GAT(1433, 7, num_layers=2)
        >>> x, edge_index = torch.randn(3, 1433), torch.tensor([[0, 1], [1, 2]])
        >>> out, weights = model(x, edge_index, return_attention_weights=True)
        >>> out.shape, [alpha.shape for _, alpha in weights]
        (torch.Size([3, 7]), [torch.Size([5, 8]), torch.Size([5, 1])])
    """

    supports_edge_weight: Final[bool] = False
    supports_edge_attr: Final[bool] = True
    conv: ClassVar[type[AttentionConv]] = GATConv

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int | None = None,
        dropout: float = 0.0,
        act: Any = "elu",
        *,
        heads: int = 1,
        out_heads: int | None = None,
        attention_dropout: float | None = None,
        act_first: bool = False,
        act_kwargs: dict[str, Any] | None = None,
        norm: Any = None,
        norm_kwargs: dict[str, Any] | None = None,
        jk: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            out_channels,
            dropout=dropout,
            act=act,
            act_first=act_first,
            act_kwargs=act_kwargs,
            norm=norm,
            norm_kwargs=norm_kwargs,
            jk=jk,
            heads=heads,
            out_heads=heads if out_heads is None else out_heads,
            attention_dropout=dropout if attention_dropout is None else attention_dropout,
            **kwargs,
        )

    def init_conv(
        self,
        in_channels: int,
        out_channels: int,
        *,
        heads: int,
        out_heads: int,
        attention_dropout: float,
        **kwargs: Any,
    ) -> AttentionConv:
        """Make one layer; called by PyG's constructor."""
        # PyG sets the flag before it makes the layer that maps to `out_channels`.
        if getattr(self, "_is_conv_to_out", False):
            kwargs |= {"heads": out_heads, "concat": False}
        elif heads > 0 and out_channels % heads == 0:
            out_channels //= heads
            kwargs |= {"heads": heads}
        else:
            raise ValueError(f"'heads' ({heads}) must divide 'hidden_channels' ({out_channels})")
        return self.conv(in_channels, out_channels, dropout=attention_dropout, **kwargs)

    def forward(
        self,
        x: Tensor,
        edge_index: Adj,
        edge_attr: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        num_sampled_nodes_per_hop: list[int] | None = None,
        num_sampled_edges_per_hop: list[int] | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Compute node outputs.

        Args:
            x: Node features, dense or ``torch.sparse_csr``. Shape ``[N, in_channels]``.
            edge_index: Edges in any form that the layers take.
            edge_attr: Edge features. Shape ``[E, edge_dim]``.
            batch: Graph of every node, for normalisations that ask. Shape ``[N]``.
            batch_size: Number of graphs, likewise.
            num_sampled_nodes_per_hop: Sizes of a sampled block, to compute only what is needed.
            num_sampled_edges_per_hop: Likewise.
            return_attention_weights: Also return the coefficients of every layer.

        Returns:
            Outputs, shape ``[N, out_channels]``; with ``return_attention_weights=True`` a pair of
            these and one ``(edge_index, alpha)`` per layer.

        Raises:
            TypeError: If ``x`` is no tensor.
            ValueError: If the width of ``x`` is not ``in_channels``; see also the layer.
        """
        check_tensor(x, "x")
        states: list[Tensor] = []
        weights: list[Any] = []
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            if num_sampled_nodes_per_hop is not None:
                x, edge_index, edge_attr = self._trim(
                    i,
                    num_sampled_nodes_per_hop,
                    num_sampled_edges_per_hop,
                    x,
                    edge_index,
                    edge_attr,
                )
            if x.layout == torch.sparse_csr:
                x = sparse_dropout(x, self.dropout.p, training=self.training)
            else:
                x = self.dropout(x)
            if return_attention_weights:
                x, weight = conv(x, edge_index, edge_attr, return_attention_weights=True)
                weights.append(weight)
            else:
                x = conv(x, edge_index, edge_attr)
            if i < self.num_layers - 1 or self.jk_mode is not None:
                x = self._between_layers(x, norm, batch, batch_size)
                states.append(x)
        x = self.jk(states) if hasattr(self, "jk") else x
        x = self.lin(x) if hasattr(self, "lin") else x
        return (x, weights) if return_attention_weights else x

    def _between_layers(
        self, x: Tensor, norm: torch.nn.Module, batch: Tensor | None, batch_size: int | None
    ) -> Tensor:
        if self.act is not None and self.act_first:
            x = self.act(x)
        x = norm(x, batch, batch_size) if self.supports_norm_batch else norm(x)
        if self.act is not None and not self.act_first:
            x = self.act(x)
        return x


class GATv2(GAT):
    """Layers of :class:`graphattn.nn.GATv2Conv`, `Brody et al. <https://arxiv.org/abs/2105.14491>`_.

    Everything but the layer is as in :class:`GAT`; ``share_weights`` may be among the keyword
    arguments.

    Example:
        >>> GATv2(16, hidden_channels=64, num_layers=2, out_channels=7, heads=8)
        GATv2(16, 7, num_layers=2)
    """

    conv: ClassVar[type[AttentionConv]] = GATv2Conv
