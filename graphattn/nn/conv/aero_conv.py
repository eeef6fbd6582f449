"""Propagation of AERO-GNN, Lee et al."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import glorot, ones
from torch_geometric.typing import Adj

from graphattn._core.checks import as_count
from graphattn.nn.conv._edges import as_edge_list, check_matrix, with_weights
from graphattn.nn.conv._watch import is_watched
from graphattn.ops import aero_attention, aero_propagate, spmm
from graphattn.ops.aero.reference import Propagated, propagate
from graphattn.ops.checks import check_edge_index, check_nodes

__all__ = ["AEROConv"]


class AEROConv(MessagePassing):
    r"""The propagation of `AERO-GNN <https://arxiv.org/abs/2306.02376>`_, all steps.

    .. math::
        \mathbf{h}^{(k)}_i = \sum_{e = (j \to i)} \alpha^{(k)}_e \mathbf{h}^{(k-1)}_j, \qquad
        \mathbf{z}^{(k)}_i = \mathbf{z}^{(k-1)}_i + \gamma^{(k)}_i \mathbf{h}^{(k)}_i

    per head, from :math:`\mathbf{h}^{(0)} = \mathbf{x}` to :math:`\mathbf{z}^{(K)}`. Edge attention
    :math:`\alpha^{(k)}` and hop attention :math:`\gamma^{(k)}` are learned anew in every step and
    see :math:`\lambda_{k-1} \mathbf{z}^{(k-1)}`, with
    :math:`\lambda_k = \ln(\lambda / (k + 1) + 1 + 10^{-6})`; see
    :func:`graphattn.ops.aero_propagate`. There is no weight matrix on the features, and the layer
    adds no self-loops: the authors' graphs have one per node.

    The coefficients of an undirected graph are symmetric. In a directed one, a node that no edge
    enters sends nothing.

    Note:
        As the authors' code and unlike the paper's equations, an edge is scored by the sum of its
        ends, :math:`\mathbf{a}^{\top} \mathrm{ELU}(\mathbf{z}_j + \mathbf{z}_i)`, and
        :math:`10^{-6}` is added to each weight. Unlike that code, the number of nodes is that of
        the input, so the layer works on graphs it was not made for.

    Args:
        channels: Width of the node features, all heads together.
        num_steps: Number of steps ``K``; 0 only weights the input.
        heads: Number of heads; divides ``channels``.
        lambd: :math:`\lambda` of the decay; a larger one lets late steps see more.
        **kwargs: Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Raises:
        ValueError: If an argument is out of its range; names it and its value.

    Example:
        >>> conv = AEROConv(8, num_steps=3, heads=2)
        >>> conv
        AEROConv(8, 3, heads=2)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> out, (edge_index, alpha) = conv(
        ...     torch.randn(3, 8), edge_index, return_attention_weights=True
        ... )
        >>> out.shape, alpha.shape
        (torch.Size([3, 8]), torch.Size([4, 3, 2]))
    """

    def __init__(
        self, channels: int, num_steps: int, heads: int = 1, lambd: float = 1.0, **kwargs: Any
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=0, **kwargs)
        channels, heads = as_count("channels", channels), as_count("heads", heads)
        num_steps = as_count("num_steps", num_steps, least=0)
        if channels % heads != 0:
            raise ValueError(f"'heads' ({heads}) must divide 'channels' ({channels})")
        if not 0.0 <= lambd < math.inf:
            raise ValueError(f"'lambd' must be finite and 0 or more, got {lambd}")
        self.channels = channels
        self.num_steps = num_steps
        self.heads = heads
        self.lambd = lambd
        width = channels // heads
        self.att = Parameter(torch.empty(num_steps, heads, width))
        self.hop_att_0 = Parameter(torch.empty(heads, width))
        self.hop_att = Parameter(torch.empty(num_steps, heads, 2 * width))
        self.hop_bias = Parameter(torch.empty(num_steps + 1, heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from the distributions of the authors' code."""
        super().reset_parameters()
        glorot(self.att)
        glorot(self.hop_att_0)
        glorot(self.hop_att)
        ones(self.hop_bias)

    @property
    def decay(self) -> list[float]:
        """The factor of the sum before each step, one per step."""
        return [math.log(self.lambd / (k + 1) + 1.0 + 1e-6) for k in range(self.num_steps)]

    def forward(
        self,
        x: Tensor,
        edge_index: Adj,
        edge_attr: None = None,
        size: tuple[int, int] | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Propagate over all steps.

        Args:
            x: Node features. Shape ``[N, channels]``.
            edge_index: Sources and destinations, ``[2, E]``, or another form that PyG accepts
                (``EdgeIndex``, transposed ``torch.sparse`` matrix, ``SparseTensor``).
            edge_attr: Must be ``None``; the method has no place for edge features.
            size: Must be ``(N, N)`` or ``None``.
            return_attention_weights: Also return the coefficients of the edges.

        Returns:
            The sums over all steps, in the dtype of ``x``, shape ``[N, channels]``. With
            ``return_attention_weights=True`` a pair of these and ``(edge_index, alpha)`` with the
            coefficients of every step, shape ``[E, num_steps, heads]``, in the order of the edges.
            A sparse ``edge_index`` comes back as such a matrix.

        Raises:
            TypeError: If ``edge_index`` is of no known form, or does not hold integers.
            ValueError: If a shape does not fit or, on the CPU, an index is out of range; if
                ``edge_attr`` is given.
        """
        self._check(x, edge_index, edge_attr, size)
        edges, _ = as_edge_list(edge_index)
        h = x.view(-1, self.heads, self.channels // self.heads)
        watched = self.explain is True or is_watched(self)
        if not watched and not return_attention_weights:
            directed = edges if self.flow == "source_to_target" else edges.flip(0)
            weights = (self.att, self.hop_att_0, self.hop_att, self.hop_bias)
            return aero_propagate(h, directed, *weights, decay=self.decay).flatten(1)
        (out, _), alpha = self._take_steps(h, edges, with_messages=watched)
        out = out.flatten(1).to(x.dtype)
        if not return_attention_weights:
            return out
        return out, with_weights(edge_index, edges, alpha, (x.size(0), x.size(0)))

    def coefficients(self, x: Tensor, edge_index: Adj) -> tuple[Tensor, Tensor]:
        """Edge and hop attention of all steps; calls no hooks.

        Args:
            x: Node features. Shape ``[N, channels]``.
            edge_index: As in :meth:`forward`.

        Returns:
            The coefficients of edges in the order of the edge list, or of a matrix's entries, shape
            ``[E, num_steps, heads]``; and of a node's states in its sum, the input's first, any
            sign, shape ``[N, num_steps + 1, heads]``. Both in ``float32`` at least.

        Raises:
            TypeError: See :meth:`forward`.
            ValueError: See :meth:`forward`.
        """
        self._check(x, edge_index, None, None)
        edges, _ = as_edge_list(edge_index)
        h = x.view(-1, self.heads, self.channels // self.heads)
        (_, gamma), alpha = self._take_steps(h, edges, with_messages=False)
        return alpha, gamma

    def hop_attention(self, x: Tensor, edge_index: Adj) -> Tensor:
        """Weights of a node's states in its sum, the second of :meth:`coefficients`."""
        return self.coefficients(x, edge_index)[1]

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """Weight the state of the source of every edge. ``[E, H, C]``."""
        return alpha.unsqueeze(-1) * x_j

    def __repr__(self) -> str:
        options = "".join(
            f", {name}={value}"
            for name, value, default in (("heads", self.heads, 1), ("lambd", self.lambd, 1.0))
            if value != default
        )
        return f"{type(self).__name__}({self.channels}, {self.num_steps}{options})"

    def _take_steps(
        self, h: Tensor, edges: Tensor, *, with_messages: bool
    ) -> tuple[Propagated, Tensor]:
        """All steps, keeping coefficients; the sums, and the coefficients ``[E, K, H]``."""
        directed = edges if self.flow == "source_to_target" else edges.flip(0)
        directed = check_edge_index(directed)
        check_nodes(directed, num_src=h.size(0), num_dst=h.size(0))
        dtype = torch.promote_types(h.dtype, torch.float32)
        alpha = [h.new_empty((edges.size(1), 0, self.heads), dtype=dtype)]

        def step(k: int, h: Tensor, z: Tensor) -> Tensor:
            weight = aero_attention(z, directed, self.att[k])
            alpha.append(weight.unsqueeze(1))
            if not with_messages:
                return spmm(h, weight, directed, num_dst=h.size(0))
            out: Tensor = self.propagate(edges, x=h, alpha=weight, size=(h.size(0), h.size(0)))
            return out

        done = propagate(
            h.to(dtype),
            self.hop_att_0.to(dtype),
            self.hop_att.to(dtype),
            self.hop_bias.to(dtype),
            self.decay,
            step,
        )
        return done, torch.cat(alpha, dim=1)

    def _check(
        self, x: Tensor, edge_index: Adj, edge_attr: object, size: tuple[int, int] | None
    ) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"'x' must be one tensor for all nodes, got {type(x).__name__}")
        if x.dim() != 2 or x.size(1) != self.channels:
            raise ValueError(
                f"'x' must have shape [N, {self.channels}] ('channels'), got {list(x.shape)}"
            )
        if edge_attr is not None:
            raise ValueError("'edge_attr' was given, but AERO-GNN has no place for edge features")
        if size is not None and tuple(size) != (x.size(0), x.size(0)):
            raise ValueError(f"'size' is {tuple(size)}, but 'x' has {x.size(0)} nodes")
        if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
            check_matrix(edge_index, x.size(0), x.size(0), self.flow)
