"""What all attention layers on edges share."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import zeros
from torch_geometric.typing import Adj
from torch_geometric.utils import scatter

from graphattn._core.errors import unknown_name
from graphattn.nn.conv._edges import as_edge_list, check_matrix, with_weights
from graphattn.nn.conv._watch import is_watched
from graphattn.nn.linear import Linear, map_together
from graphattn.ops._check import check_edge_index
from graphattn.ops._dropout import draw_seed, edge_dropout
from graphattn.ops.self_loops import looped

__all__ = ["AttentionConv"]

_FILL_REDUCTIONS = ("add", "max", "mean", "min", "mul", "sum")


class AttentionConv(MessagePassing):
    r"""Base of the attention layers: everything but the score.

    A layer says how it transforms its inputs (:meth:`operands`) and which two ops take them
    (:meth:`attention` for the coefficients, :meth:`attend` for the weighted sum). This class checks
    the inputs, adds self-loops, averages or concatenates the heads, adds residual and bias, and
    returns the coefficients on request.

    The fused op is used when nobody watches. With message hooks, under an explainer, with another
    aggregation or with an overridden :meth:`message`, the same coefficients go through PyG's
    :meth:`propagate`.

    Note:
        Unlike PyG's layers, coefficients are returned *before* dropout; input edges keep their
        order and come first, then the self-loops that were missing; a self-loop that is there
        keeps its attributes (PyG replaces them); of several at one node the first counts, the
        others have the weight 0; and ``edge_attr`` without ``edge_dim`` is an error. The native
        kernels can't be differentiated twice; under
        ``graphattn.ops.use_implementation("reference")`` the layers can.

    Args:
        in_channels: Width of the node features, or a pair for sources and destinations; ``-1``
            takes it from the first input.
        out_channels: Width of each head.
        heads: Number of heads.
        concat: Concatenate the heads; False averages them.
        dropout: Probability of dropping an attention coefficient in training, in ``[0, 1]``.
        add_self_loops: Let each node attend to itself; in a bipartite graph the first
            ``min(N_src, N_dst)`` nodes.
        edge_dim: Width of ``edge_attr``, if there is one.
        fill_value: Edge features of added self-loops: a number, a tensor of shape ``[edge_dim]``,
            or how to reduce those of the incoming edges (``"mean"``, ``"add"``, ``"min"``,
            ``"max"``, ``"mul"``).
        bias: Add a learned bias.
        residual: Add a linear map of the destination's input.
        **kwargs: Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.
    """

    edge_values = False
    """Whether ``edge_x`` among the operands is part of what is summed."""

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        *,
        heads: int,
        concat: bool,
        dropout: float,
        add_self_loops: bool,
        edge_dim: int | None,
        fill_value: float | Tensor | str,
        bias: bool,
        residual: bool,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=0, **kwargs)
        for name, value in (("heads", heads), ("out_channels", out_channels)):
            if not isinstance(value, int):
                raise TypeError(f"'{name}' must be a whole number, got {value!r}")
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        widths = [in_channels] if isinstance(in_channels, int) else [*in_channels]
        if any(width < 1 and width != -1 for width in widths):
            raise ValueError(f"'in_channels' must be at least 1, or -1, got {in_channels}")
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"'dropout' must lie in [0, 1], got {dropout}")
        if isinstance(fill_value, str) and fill_value not in _FILL_REDUCTIONS:
            raise unknown_name("'fill_value'", fill_value, _FILL_REDUCTIONS)
        if isinstance(fill_value, Tensor) and fill_value.shape not in ((), (edge_dim,)):
            raise ValueError(
                f"'fill_value' must have shape [{edge_dim}] ('edge_dim'), got "
                f"{list(fill_value.shape)}"
            )
        if not isinstance(fill_value, (str, int, float, Tensor)):
            raise TypeError(f"'fill_value' must be a number, tensor or name, got {fill_value!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.concat = concat
        self.dropout = dropout
        self.add_self_loops = add_self_loops
        self.edge_dim = edge_dim
        self.fill_value = fill_value
        self.residual = residual
        self.has_bias = bias
        width = heads * out_channels if concat else out_channels
        in_dst = in_channels if isinstance(in_channels, int) else in_channels[1]
        self.res = self._linear(in_dst, width) if residual else None
        self.register_parameter("bias", Parameter(torch.empty(width)) if bias else None)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from the distributions of PyG's layers."""
        super().reset_parameters()
        for module in self.children():
            if isinstance(module, Linear):
                module.reset_parameters()
        zeros(self.bias)

    @abstractmethod
    def operands(
        self, x_src: Tensor, x_dst: Tensor | None, edge_attr: Tensor | None, num_dst: int
    ) -> tuple[Tensor, dict[str, Any]]:
        """Transform the inputs into what the ops take.

        Args:
            x_src: Features of the sources. Shape ``[N_src, F_src]``.
            x_dst: Features of the destinations; the same tensor in a graph with one kind of nodes.
                Shape ``[N_dst, F_dst]``.
            edge_attr: Features of the edges and, behind them, of the self-loops. Shape
                ``[E + num_self_loops, edge_dim]``.
            num_dst: Number of destinations ``N_dst``, needed where ``x_dst`` is ``None``.

        Returns:
            The values to sum, shape ``[N_src, H, C]``, and the other arguments of
            :meth:`attention` and :meth:`attend` by name. Besides these there may be ``bias``, what
            is added to the sums in the place of the layer's own bias, shape ``[N_dst, H, C]``, and
            ``donate``: whether nobody else reads what this method has made, see
            :func:`graphattn.ops.gat_attend`.
        """

    @abstractmethod
    def attention(self, values: Tensor, edge_index: Tensor, **operands: Any) -> Tensor:
        """Coefficients of the edges, then of the self-loops. ``[E + num_self_loops, H]``."""

    @abstractmethod
    def attend(self, values: Tensor, edge_index: Tensor, **operands: Any) -> Tensor:
        """Sum of ``values`` with those coefficients after dropout. ``[N_dst, H, C]``.

        Also gets ``dropout``, ``seed``, ``bias`` and ``donate``, see
        :func:`graphattn.ops.gat_attend`.
        """

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Adj,
        edge_attr: Tensor | None = None,
        size: tuple[int, int] | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Attend over the incoming edges of every node.

        Args:
            x: Node features, shape ``[N, F]``, or a pair for sources and destinations; dense or
                ``torch.sparse_csr``.
            edge_index: Sources and destinations, ``[2, E]``, or another form that PyG accepts
                (``EdgeIndex``, transposed ``torch.sparse`` matrix, ``SparseTensor``).
            edge_attr: Edge features. Shape ``[E, edge_dim]`` or ``[E]``.
            size: Number of source and destination nodes; needed if ``x`` is ``(x_src, None)`` and
                they differ.
            return_attention_weights: Also return the coefficients.

        Returns:
            Node features in the dtype of ``x``, shape ``[N_dst, heads * out_channels]``, or
            ``[N_dst, out_channels]`` if the heads are averaged. With
            ``return_attention_weights=True`` a pair of these and ``(edge_index, alpha)``: the input
            edges in their order, then the self-loops that were missing, and the coefficients before
            dropout, shape ``[E', heads]``. A sparse ``edge_index`` comes back as such a matrix.

        Raises:
            TypeError: If ``edge_index`` is of no known form, or does not hold integers.
            ValueError: If a shape does not fit or, on the CPU, an index is out of range.
        """
        x_src, x_dst = self._pair(x)
        edges, values_of_matrix = as_edge_list(edge_index)
        num_src, num_dst = self._check_size(x_src, x_dst, size)
        check_matrix(edge_index, num_src, num_dst)
        edge_attr = self._check_edge_attr(
            values_of_matrix if edge_attr is None else edge_attr, edges
        )
        forward = self.flow == "source_to_target"
        directed = edges if forward else edges.flip(0)
        loops = min(num_src, num_dst) if self.add_self_loops else 0
        if edge_attr is not None and loops > 0:
            check_edge_index(directed, num_src=num_src, num_dst=num_dst)
            loop_attr = self._loop_attr(edge_attr, directed[1], num_dst, loops)
            edge_attr = torch.cat([edge_attr, loop_attr])
        values, operands = self.operands(x_src, x_dst, edge_attr, num_dst)
        operands["num_self_loops"] = loops
        donate = operands.pop("donate", False)
        # Added inside of the op, which saves an array; averaged heads share one.
        added = operands.pop("bias", None)
        if self.concat and self.bias is not None:
            added = self.bias.view(self.heads, self.out_channels)
        p = self.dropout if self.training else 0.0
        seed = draw_seed(x_src.device) if p > 0.0 else None

        if is_watched(self, AttentionConv) or return_attention_weights:
            alpha = self.attention(values, directed, **operands)
            appended, counted, position = looped(directed, loops)
            appended = appended if forward else appended.flip(0)
            kept = alpha
            if seed is not None:
                kept = edge_dropout(alpha, position, seed, p)
            out = self.propagate(
                appended,
                x=(values, None) if forward else (None, values),
                alpha=kept,
                edge_x=operands.get("edge_x") if self.edge_values else None,
                size=(num_src, num_dst) if forward else (num_dst, num_src),
            )
            out = out if added is None else out + added
        else:
            draw = {"dropout": p, "seed": seed}
            out = self.attend(values, directed, bias=added, donate=donate, **draw, **operands)

        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if self.bias is not None and not self.concat:
            out = out + self.bias
        out = self.combine(out, x_dst).to(x_src.dtype)
        if not return_attention_weights:
            return out
        # Input edges stay, counted or not, so that `alpha[:E]` belongs to them.
        shown = counted | (torch.arange(len(counted), device=counted.device) < edges.size(1))
        weights = with_weights(edge_index, appended[:, shown], alpha[shown], (num_src, num_dst))
        return out, weights

    def combine(self, out: Tensor, x_dst: Tensor | None) -> Tensor:
        """Join what the edges brought with what a node has itself.

        Args:
            out: Shape ``[N_dst, H * C]``, or ``[N_dst, C]`` if the heads are averaged.
            x_dst: Features of the destinations. Shape ``[N_dst, F_dst]``.
        """
        return out if self.res is None else out + self.res(x_dst)

    def message(self, x_j: Tensor, alpha: Tensor, edge_x: Tensor | None = None) -> Tensor:
        """Weight the features of the source of every edge, and its own. ``[E, H, C]``."""
        values = x_j if edge_x is None else x_j + edge_x
        return alpha.unsqueeze(-1).to(x_j.dtype) * values

    def explain_message(self, inputs: Tensor, dim_size: int | None) -> Tensor:
        """Weight messages by the edge mask of an explainer; added self-loops stay as they are."""
        mask = self._edge_mask
        if mask is None:
            raise ValueError("'explain' is set, but no explainer has given an edge mask")
        if self._apply_sigmoid:
            mask = mask.sigmoid()
        mask = torch.cat([mask, mask.new_ones(inputs.size(0) - mask.size(0))])
        return inputs * mask.view(-1, 1, 1)

    def __repr__(self) -> str:
        options = []
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            default = parameter.default
            value = self.has_bias if name == "bias" else getattr(self, name, default)
            if default is not parameter.empty and repr(value) != repr(default):
                options.append(f", {name}={value!r}")
        name = type(self).__name__
        return f"{name}({self.in_channels}, {self.out_channels}{''.join(options)})"

    def _linear(self, in_channels: int, out_channels: int, *, bias: bool = False) -> Linear:
        return Linear(in_channels, out_channels, bias=bias, weight_initializer="glorot")

    def _heads(self, x: Tensor, *linear: Module) -> tuple[Tensor, ...]:
        """Transform ``x`` by each of the maps and split the results by heads. ``[N, H, C]``."""
        shape = (-1, self.heads, self.out_channels)
        return tuple(out.view(shape) for out in map_together(x, *linear))

    def _pair(self, x: Tensor | tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        if not isinstance(x, (Tensor, tuple, list)):
            raise TypeError(f"'x' must be a tensor or a pair of them, got {type(x).__name__}")
        x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
        for features in (x_src, x_dst):
            if features is not None and features.dim() != 2:
                raise ValueError(
                    f"'x' must have shape [N, F] per kind of nodes, got {list(features.shape)}"
                )
        if x_dst is None and self.residual:
            raise ValueError("'x' is (x_src, None), but residual=True needs features 'x_dst'")
        return x_src, x_dst

    def _check_size(
        self, x_src: Tensor, x_dst: Tensor | None, size: tuple[int, int] | None
    ) -> tuple[int, int]:
        num_src = x_src.size(0)
        num_dst = num_src if size is None else size[1]
        if x_dst is not None:
            num_dst = x_dst.size(0)
        if size is not None and tuple(size) != (num_src, num_dst):
            raise ValueError(
                f"'size' is {tuple(size)}, but 'x' has {num_src} source and {num_dst} "
                "destination nodes"
            )
        return num_src, num_dst

    def _check_edge_attr(self, edge_attr: Tensor | None, edges: Tensor) -> Tensor | None:
        if edge_attr is None:
            return None
        if self.edge_dim is None:
            raise ValueError(
                f"'edge_attr' of shape {list(edge_attr.shape)} was given, but 'edge_dim' is None; "
                "construct the layer with edge_dim=<width of edge_attr>"
            )
        if edge_attr.dim() == 1:
            edge_attr = edge_attr.unsqueeze(1)
        width = edge_attr.size(1) if self.edge_dim == -1 else self.edge_dim
        if edge_attr.shape != (edges.size(-1), width):
            raise ValueError(
                f"'edge_attr' must have shape [{edges.size(-1)}, {width}] (edges, "
                f"'edge_dim'), got {list(edge_attr.shape)}"
            )
        return edge_attr

    def _loop_attr(self, edge_attr: Tensor, dst: Tensor, num_dst: int, num_loops: int) -> Tensor:
        """Features of the self-loops to add, by ``fill_value``. ``[num_loops, edge_dim]``."""
        if isinstance(self.fill_value, str):
            # A node that has a loop keeps it, so a loop never enters a value that is used.
            reduced: Tensor = scatter(edge_attr, dst, 0, num_dst, reduce=self.fill_value)
            return reduced[:num_loops]
        fill = torch.as_tensor(self.fill_value, dtype=edge_attr.dtype, device=edge_attr.device)
        return fill.expand(num_loops, edge_attr.size(1))
