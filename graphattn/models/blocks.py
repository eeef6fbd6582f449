"""The block that deep attention networks repeat."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.nn.resolver import activation_resolver
from torch_geometric.typing import Adj

from graphattn._core.checks import check_choice, check_probability
from graphattn.models.gat_tuned_config import NodeNorm
from graphattn.nn import AttentionConv, Linear

__all__ = ["AttentionBlock", "OutputMap", "Residual"]

OutputMap = Literal["feed_forward", "linear"]
Residual = Literal["identity", "linear"]

_NORMS = {"batch_norm": nn.BatchNorm1d, "layer_norm": nn.LayerNorm}


class AttentionBlock(nn.Module):
    r"""One layer of attention with what stands around it: maps, residual, normalisation, dropout.

    With ``norm_first`` the block refines what it gets,

    .. math::
        \mathbf{y} = \mathrm{in}(\mathrm{norm}(\mathbf{h})), \qquad
        \mathbf{h}^{\prime} = \mathrm{res}(\mathbf{h}) + \mathrm{drop}(
        \mathrm{out}(\mathrm{conv}(\mathbf{y}))),

    as in Transformers; otherwise it is a layer of a plain network,

    .. math::
        \mathbf{y} = \mathrm{in}(\mathbf{h}), \qquad \mathbf{h}^{\prime} = \mathrm{drop}(
        \mathrm{act}(\mathrm{norm}(\mathrm{res}(\mathbf{h}) + \mathrm{out}(\mathrm{conv}(
        \mathbf{y}))))).

    With ``sep`` the output map sees :math:`[\mathbf{y} \,\Vert\, \mathrm{conv}(\mathbf{y})]`, a
    node's own features beside those of its neighbours. Everything that is not asked for is left out
    and has no parameters. Some blocks of the literature:

    =================== ============================================================================
    a layer of the      ``GATConv(F, F, bias=False, add_self_loops=False)``, ``residual="linear"``,
    `tuned GAT`_        ``norm="layer_norm"``
    GAT-sep of          ``AdditiveConv(F, heads=8)``, ``input_map=True``, ``sep=True``,
    `Platonov et al.`_  ``output_map="feed_forward"``, ``residual="identity"``,
                        ``norm="layer_norm"``, ``norm_first=True``, ``act="gelu"``
    GAT of the same     that without ``sep``, of ``AdditiveConv(F, heads=8, add_self_loops=True)``
    GT-sep of the same, ``TransformerConv(F, F // 8, heads=8, root_weight=False)``, ``sep=True``,
    first half          ``output_map="linear"``, ``residual="identity"``, ``norm="layer_norm"``,
                        ``norm_first=True``
    its second half     no ``conv``, and the last five of GAT-sep
    =================== ============================================================================

    .. _tuned GAT: https://arxiv.org/abs/2406.08993
    .. _Platonov et al.: https://arxiv.org/abs/2302.11640

    Args:
        in_channels: Width of the input.
        out_channels: Width of the output.
        conv: The attention layer, of ``in_channels`` (``out_channels`` with ``input_map``); without
            one the block sees each node by itself.
        input_map: Apply a linear map to ``out_channels`` before the attention.
        sep: Put a node's own features beside its message; needs an ``output_map``.
        output_map: ``"linear"``; or ``"feed_forward"``, two linear maps with dropout and activation
            between them; or ``None`` for what the attention gives.
        residual: Add the input, as it is (``"identity"``) or through a linear map (``"linear"``).
        norm: Normalisation over the channels of each node (``"layer_norm"``) or over all nodes for
            each channel (``"batch_norm"``).
        norm_first: Where it stands, see above.
        act: Activation, by PyG's name or as a callable.
        dropout: Probability of dropping a value in training, in ``[0, 1]``.

    Raises:
        ValueError: If an argument is out of its range, or widths do not fit; names it and its
            value.

    Example:
        >>> from graphattn.nn import GATConv
        >>> block = AttentionBlock(8, 16, GATConv(8, 16, bias=False), residual="linear")
        >>> block(torch.randn(3, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        conv: AttentionConv | None = None,
        *,
        input_map: bool = False,
        sep: bool = False,
        output_map: OutputMap | None = None,
        residual: Residual | None = None,
        norm: NodeNorm | None = None,
        norm_first: bool = False,
        act: Any = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice("output_map", output_map, (None, *get_args(OutputMap)))
        check_choice("residual", residual, (None, *get_args(Residual)))
        check_choice("norm", norm, (None, *get_args(NodeNorm)))
        check_probability("dropout", dropout)
        if residual == "identity" and in_channels != out_channels:
            raise ValueError(
                f"'residual' is 'identity', but 'in_channels' ({in_channels}) differs from "
                f"'out_channels' ({out_channels}); use 'linear'"
            )
        if sep and (conv is None or output_map is None):
            raise ValueError("'sep' needs a 'conv' and an 'output_map', got None")
        width = out_channels if input_map else in_channels
        message = width if conv is None else conv.out_channels * (conv.heads if conv.concat else 1)
        if output_map is None and message != out_channels:
            raise ValueError(
                f"'out_channels' is {out_channels}, but 'conv' gives {message} channels; they must "
                "be equal without an 'output_map'"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.sep = sep
        self.norm_first = norm_first
        self.conv = conv
        self.act = nn.Identity() if act is None else activation_resolver(act)
        self.dropout = nn.Dropout(dropout)
        self.lin_in = Linear(in_channels, out_channels) if input_map else None
        self.lin_res = Linear(in_channels, out_channels) if residual == "linear" else None
        self.adds_input = residual == "identity"
        normed = in_channels if norm_first else out_channels
        self.norm = None if norm is None else _NORMS[norm](normed)
        self.lin_out = self._output_map(output_map, message + (width if sep else 0))

    def _output_map(self, kind: OutputMap | None, width: int) -> nn.Module | None:
        if kind is None:
            return None
        first = Linear(width, self.out_channels)
        if kind == "linear":
            return first
        return nn.Sequential(
            first, self.dropout, self.act, Linear(self.out_channels, self.out_channels)
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if module is not self and callable(reset):
                reset()

    def forward(self, x: Tensor, edge_index: Adj, edge_attr: Tensor | None = None) -> Tensor:
        """Compute the block's node features.

        Args:
            x: Node features, dense or, without ``norm_first``, ``torch.sparse_csr``. Shape
                ``[N, in_channels]``.
            edge_index: Edges in any form that the attention layer takes.
            edge_attr: Edge features, if the layer takes any. Shape ``[E, edge_dim]``.

        Returns:
            Shape ``[N, out_channels]``.

        Raises:
            ValueError: If ``x`` does not fit.
        """
        y = x if self.norm is None or not self.norm_first else self.norm(x)
        y = y if self.lin_in is None else self.lin_in(y)
        out = y if self.conv is None else self.conv(y, edge_index, edge_attr)
        if self.sep:
            out = torch.cat([y.to_dense(), out], dim=-1)
        out = out if self.lin_out is None else self.lin_out(out)
        return self._join(x, out)

    def _join(self, x: Tensor, out: Tensor) -> Tensor:
        """Residual, normalisation, activation and dropout."""
        if self.norm_first:
            out = self.dropout(out)
        if self.lin_res is not None:
            out = out + self.lin_res(x)
        elif self.adds_input:
            out = out + x
        if self.norm_first:
            return out
        out = out if self.norm is None else self.norm(out)
        dropped: Tensor = self.dropout(self.act(out))
        return dropped

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, conv={self.conv})"
