"""What all attention layers on edges share."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import pad
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import zeros
from torch_geometric.typing import Adj
from torch_geometric.utils import is_sparse, scatter

from graphattn._core.checks import as_count
from graphattn._core.errors import unknown_name
from graphattn.nn.conv._edges import as_edge_list, check_matrix, with_weights
from graphattn.nn.conv._watch import has_own_masks, is_edge_update_watched, is_watched
from graphattn.nn.linear import Linear, apply_map, plan_map
from graphattn.ops import Projection, Score, attend, attention_weights, spmm
from graphattn.ops.checks import check_edge_index, check_nodes
from graphattn.ops.dropout import draw_seed, edge_dropout
from graphattn.ops.self_loops import looped

__all__ = ["AttentionConv", "Operands"]

_FILL_REDUCTIONS = ("add", "max", "mean", "min", "mul", "sum")

MapByHead = Callable[..., tuple[Any, ...]]
"""A linear map by head, see :func:`graphattn.nn.linear.apply_map`."""


class Operands(NamedTuple):
    """What a layer sums, and with which weights."""

    values: Tensor | Projection
    """Shape ``[N_src, H, C]``."""
    score: Score
    """The score of edges."""
    bias: Tensor | Projection | None = None
    """Added to the sums in the place of the layer's own bias. Shape ``[N_dst, H, C]``."""


class AttentionConv(MessagePassing):
    r"""Base of the attention layers: everything but the score.

    A layer says how it transforms its inputs, what it sums and with which score
    (:meth:`operands`). This class checks the inputs, adds self-loops, averages or concatenates the
    heads, adds residual and bias, and returns the coefficients on request.

    The fused op is used when nobody watches. With message hooks, with another aggregation or with
    an overridden :meth:`message`, the same coefficients go through PyG's :meth:`propagate`; with
    hooks on edge updates or an overridden ``edge_update``, the coefficients come from that.

    Note:
        Unlike PyG's layers, coefficients are returned *before* dropout; input edges keep their
        order and come first, then the self-loops that were missing; a self-loop that is there
        keeps its attributes (PyG replaces them); of several at one node the first counts, the
        others have the weight 0; and ``edge_attr`` without ``edge_dim`` is an error.

        Which bits repeat, :func:`graphattn.ops.attend` says.

        An edge list is sorted when a layer first sees it, and again when it has changed. After a
        change that torch does not count (through ``.data``, or in memory shared with NumPy or
        another process) of a graph of more than 32,768 edges, call
        :func:`graphattn.ops.forget_graphs`, which says what is seen without it.

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

    _plans_maps = False
    """Whether linear maps may be left to the fused op: no subclass sees their results."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        concrete = [
            kind.__dict__["operands"]
            for kind in cls.__mro__
            if "operands" in kind.__dict__ and kind is not AttentionConv
        ]
        cls._plans_maps = (
            len(concrete) == 1 and "project" in inspect.signature(concrete[0]).parameters
        )

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        *,
        heads: int = 1,
        concat: bool = True,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: float | Tensor | str = "mean",
        bias: bool = True,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=0, **kwargs)
        heads = as_count("heads", heads)
        out_channels = as_count("out_channels", out_channels)
        if isinstance(in_channels, (tuple, list)):
            in_src, in_dst = (_width(width) for width in in_channels)
            in_channels = (in_src, in_dst)
        else:
            in_channels = _width(in_channels)
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
        self,
        x_src: Tensor,
        x_dst: Tensor | None,
        edge_attr: Tensor | None,
        num_dst: int,
        project: MapByHead = apply_map,
    ) -> Operands:
        """Transform the inputs into what is summed, and the score.

        Args:
            x_src: Features of the sources. Shape ``[N_src, F_src]``.
            x_dst: Features of the destinations; the same tensor in a graph with one kind of nodes.
                Shape ``[N_dst, F_dst]``.
            edge_attr: Features of the edges and, behind them, of the self-loops. Shape
                ``[E + num_self_loops, edge_dim]``.
            num_dst: Number of destinations ``N_dst``, needed where ``x_dst`` is ``None``.
            project: How linear maps are applied: :func:`graphattn.nn.linear.apply_map`. A layer
                that takes this argument, and whose method no subclass overrides, gets
                :func:`graphattn.nn.linear.plan_map` from :meth:`forward`, and its maps become part
                of the fused op.
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
        num_src, num_dst = self._check_size(x_src, x_dst, size, edge_index)
        flipped = self.flow != "source_to_target"
        loops = min(num_src, num_dst) if self.add_self_loops else 0
        if edge_attr is None:
            edge_attr = values_of_matrix
        if edge_attr is not None:
            edge_attr = self._with_loops(edge_attr, edges, num_src, num_dst, loops)
        if self._plans_maps:
            found = self.operands(x_src, x_dst, edge_attr, num_dst, project=plan_map)
        else:
            found = self.operands(x_src, x_dst, edge_attr, num_dst)
        values, score, added = found if len(found) == 3 else Operands(*found)
        # Added inside of the op, which saves an array; averaged heads share one.
        if self.concat and self.bias is not None:
            added = self.bias.view(self.heads, self.out_channels)
        p = self.dropout if self.training else 0.0
        options: dict[str, Any] = {"num_dst": num_dst, "num_self_loops": loops, "flipped": flipped}
        alpha = None
        if self.explain is True or is_watched(self) or is_edge_update_watched(self):
            out, alpha = self._watched(
                _computed(values), score, edges, edge_attr, p, (num_src, num_dst), options
            )
            out = out if added is None else out + _computed(added)
        else:
            seed = draw_seed(x_src.device) if p > 0.0 else None
            options |= {"dropout": p, "seed": seed, "bias": added}
            if return_attention_weights:
                out, alpha = attend(values, score, edges, return_weights=True, **options)
            else:
                out = attend(values, score, edges, **options)

        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if self.bias is not None and not self.concat:
            out = out + self.bias
        out = self.combine(out, x_dst)
        out = out if out.dtype == x_src.dtype else out.to(x_src.dtype)
        if alpha is None or not return_attention_weights:
            return out
        directed = edges.flip(0) if flipped else edges
        appended, counted, _ = looped(directed, loops)
        # Input edges stay, counted or not, so that `alpha[:E]` belongs to them.
        shown = counted | (torch.arange(len(counted), device=counted.device) < edges.size(1))
        if torch.compiler.is_compiling() or not shown.all():
            appended, alpha = appended[:, shown], alpha[shown]
        appended = appended.flip(0) if flipped else appended
        return out, with_weights(edge_index, appended, alpha, (num_src, num_dst))

    def _watched(
        self,
        values: Tensor,
        score: Score,
        edges: Tensor,
        edge_attr: Tensor | None,
        p: float,
        size: tuple[int, int],
        options: dict[str, Any],
    ) -> tuple[Tensor, Tensor]:
        """Sums and coefficients, where somebody looks at messages or coefficients on their way."""
        flipped, loops = options["flipped"], options["num_self_loops"]
        score = score.replace(**{name: _computed(one) for name, one in score.operands().items()})
        appended, counted, position = looped(edges.flip(0) if flipped else edges, loops)
        name = score.value_edge_x
        edge_x = None if name is None else getattr(score, name)
        if is_edge_update_watched(self):
            # Only edges that count: what comes next may be a softmax of its own.
            rows = counted.nonzero().squeeze(1)
            attr = None if edge_attr is None else edge_attr[rows]
            one = self._as_given(appended[:, rows])
            weight = self.edge_updater(one, edge_attr=attr, **self.edge_operands(score), size=None)
            weight = weight.new_zeros(len(counted), *weight.shape[1:]).index_copy(0, rows, weight)
            alpha = weight
        else:
            alpha = weight = attention_weights(score, edges, **options)
            if p > 0.0:
                weight = edge_dropout(alpha, position, draw_seed(values.device), p)
        if (
            self.explain is True
            and not (is_watched(self) or has_own_masks(self))
            and edge_x is None
        ):
            mask = self._mask_of_edges(len(counted)).view(-1, 1)
            return spmm(values, weight * mask, appended, num_dst=size[1]), alpha
        if self.aggr not in ("add", "sum"):
            # A message of zeros counts in a mean or a maximum.
            rows = counted.nonzero().squeeze(1)
            appended, weight = appended[:, rows], weight[rows]
            edge_x = None if edge_x is None else edge_x[rows]
        if flipped and size[0] != size[1]:
            # PyG takes the number of sources for that of destinations, if messages flow backwards.
            values = pad(values, (0, 0, 0, 0, 0, max(size) - size[0]))
            sizes = (max(size), max(size))
        else:
            sizes = size
        given = self._as_given(appended)
        # Explainers with messages of their own look at both ends.
        x = (values, values if sizes[0] == sizes[1] else None)
        out = self.propagate(given, x=x, alpha=weight, edge_x=edge_x, size=sizes)
        return out[: size[1]], alpha

    def _as_given(self, edges: Tensor) -> Tensor:
        """Sources and destinations in the order of the layer's flow."""
        return edges if self.flow == "source_to_target" else edges.flip(0)

    def edge_operands(self, score: Score) -> dict[str, Any]:
        """What ``edge_update`` gets of sources and destinations, as in PyG's layer of the name."""
        raise TypeError(
            f"{type(self).__name__} computes its coefficients without 'edge_update': override "
            "'message', or use message hooks"
        )

    def combine(self, out: Tensor, x_dst: Tensor | None) -> Tensor:
        """Join what the edges brought with what a node has itself.

        Args:
            out: Shape ``[N_dst, H * C]``, or ``[N_dst, C]`` if the heads are averaged.
            x_dst: Features of the destinations. Shape ``[N_dst, F_dst]``.
        """
        return out if self.res is None or x_dst is None else out + self.res(x_dst)

    def message(self, x_j: Tensor, alpha: Tensor, edge_x: Tensor | None = None) -> Tensor:
        """Weight the features of the source of every edge, and its own. ``[E, H, C]``."""
        values = x_j if edge_x is None else x_j + edge_x
        return alpha.unsqueeze(-1).to(x_j.dtype) * values

    def explain_message(self, inputs: Tensor, dim_size: int | None) -> Tensor:
        """Weight messages by the edge mask of an explainer; added self-loops stay as they are."""
        return inputs * self._mask_of_edges(inputs.size(0)).view(-1, *[1] * (inputs.dim() - 1))

    def _mask_of_edges(self, num_rows: int) -> Tensor:
        mask = self._edge_mask
        if mask is None:
            raise ValueError("'explain' is set, but no explainer has given an edge mask")
        if self._apply_sigmoid:
            mask = mask.sigmoid()
        return torch.cat([mask, mask.new_ones(num_rows - mask.size(0))])

    def __repr__(self) -> str:
        options = []
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            default = parameter.default
            value = self.has_bias if name == "bias" else getattr(self, name, default)
            if default is not parameter.empty and repr(value) != repr(default):
                options.append(f", {name}={value!r}")
        name = type(self).__name__
        return f"{name}({self.in_channels}, {self.out_channels}{''.join(options)})"

    def __prepare_scriptable__(self) -> None:
        """Asked by ``torch.jit.script``, of every layer in a model."""
        raise TypeError(
            f"{type(self).__name__} can't be compiled by torch.jit.script, as PyG's attention "
            "layers; use torch.compile"
        )

    def _linear(self, in_channels: int, out_channels: int, *, bias: bool = False) -> Linear:
        return Linear(in_channels, out_channels, bias=bias, weight_initializer="glorot")

    def _pair(self, x: Tensor | tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        x_src, x_dst = (x, x) if isinstance(x, Tensor) else _two(x)
        for features in (x_src,) if x_dst is x_src or x_dst is None else (x_src, x_dst):
            if not isinstance(features, Tensor):
                raise TypeError(
                    f"'x' must be a tensor or a pair of them, got {type(features).__name__}"
                )
            if features.dim() != 2:
                raise ValueError(
                    f"'x' must have shape [N, F] per kind of nodes, got {list(features.shape)}"
                )
        return x_src, x_dst

    def _check_size(
        self,
        x_src: Tensor,
        x_dst: Tensor | None,
        size: tuple[int, int] | None,
        edge_index: Adj,
    ) -> tuple[int, int]:
        num_src = num_dst = x_src.size(0)
        if x_dst is not None:
            num_dst = x_dst.size(0)
        elif size is not None:
            num_dst = size[1]
        elif is_sparse(edge_index):
            num_dst = edge_index.size(0)
        if size is not None and tuple(size) != (num_src, num_dst):
            raise ValueError(
                f"'size' is {tuple(size)}, but 'x' has {num_src} source and {num_dst} "
                "destination nodes"
            )
        if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
            check_matrix(edge_index, num_src, num_dst, self.flow)
        return num_src, num_dst

    def _with_loops(
        self, edge_attr: Tensor, edges: Tensor, num_src: int, num_dst: int, loops: int
    ) -> Tensor:
        """Features of the edges and, behind them, of the self-loops."""
        edge_attr = self._check_edge_attr(edge_attr, edges)
        if loops == 0:
            return edge_attr
        flipped = self.flow != "source_to_target"
        num_first, num_second = (num_dst, num_src) if flipped else (num_src, num_dst)
        check_nodes(check_edge_index(edges), num_src=num_first, num_dst=num_second)
        # As in PyG, of the edges whose second end the node is, whichever way messages flow.
        loop_attr = self._loop_attr(edge_attr, edges[1], num_second, loops)
        return torch.cat([edge_attr, loop_attr])

    def _check_edge_attr(self, edge_attr: Tensor, edges: Tensor) -> Tensor:
        if not isinstance(edge_attr, Tensor):
            raise TypeError(f"'edge_attr' must be a tensor, got {type(edge_attr).__name__}")
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


def _computed(operand: Any) -> Any:
    return operand.compute() if isinstance(operand, Projection) else operand


def _two(x: Any) -> Any:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise TypeError(f"'x' must be a tensor or a pair of them, got {type(x).__name__}")
    return x


def _width(value: Any) -> int:
    """A width, or -1 for that of the first input."""
    width = as_count("in_channels", value, least=-1)
    if width == 0:
        raise ValueError("'in_channels' must be at least 1, or -1 for the first input's, got 0")
    return width
