"""Graph ensemble temperature scaling."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_count, check_number, check_probability
from graphattn.calibration.calibrator import GradientCalibrator
from graphattn.calibration.gates import Gates
from graphattn.calibration.gcn import GCN, NormalizedGraph
from graphattn.calibration.inputs import check_classes, check_edges

__all__ = ["GETSScaler"]


class _Inputs(NamedTuple):
    """What experts see, besides features."""

    logits: Tensor
    degree: Tensor
    graph: NormalizedGraph


class GETSScaler(GradientCalibrator):
    r"""A factor for every node and class, from a few of several networks on the graph.

    .. math::
        \mathbf{z}_i \odot \mathrm{softplus}\Big( \sum_m g_{im} \,
        \mathrm{GCN}_m(\mathbf{X}_m, \mathrm{edges})_i \Big)

    From `"GETS: Ensemble Temperature Scaling for Calibration in Graph Neural Networks"
    <https://arxiv.org/abs/2410.09570>`_ (Zhuang et al., ICLR 2025). There is one expert for every
    non-empty subset of three inputs: logits, a linear map of the features of nodes, and an
    embedding of in-degree plus out-degree. Noisy gates choose ``top_k`` of them for each node from
    its logits and features; how unevenly experts are used joins the loss. The most probable class
    can change, and it changes much: this is a second classifier as much as a calibrator.

    Features belong to nodes as logits do, but no other calibrator needs them, so that they are
    given once, here, and ``fit`` and the call are those of all calibrators. They are not in the
    state dict. For another graph, assign its features to ``features``. Without features there are
    the three experts of logits and degree.

    Note:
        In the published code embeddings of degrees are made after the optimiser has been given its
        parameters, so that they keep their random values; ``published=True`` is that form, else
        they are learned. There, they are as many as the largest degree of the first graph; here
        degrees from ``max_degree`` on share one. The published code adds self-loops to some graphs
        only and counts them in degrees; here, each node has one in convolutions, as in
        :class:`CaGCNScaler`, and degrees count the edges that are given.

    Args:
        num_classes: Number of classes :math:`C`.
        features: Features of nodes, dense. Shape ``[N, F]``.
        hidden_channels: Features between the convolutions; the authors take 16, 32 or 64.
        embedding_channels: Size of the map of features, and of the embedding of degrees; the
            authors take 16, 32 or 64.
        top_k: Experts per node; the authors take 2, or 1 for their larger graphs.
        balance: Weight of the uneven use of experts in the loss; the authors take 1, or 0.1.
        max_degree: Largest degree with an embedding of its own.
        dropout: Probability of dropout between the convolutions.
        published: Whether embeddings of degrees keep their random values.
        lr: Learning rate; the authors take 0.1, but 0.001 for Cora and 0.01 for Reddit.
        weight_decay: Factor of the parameters added to their gradients; the authors take 0 to 0.01.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> logits, edge_index = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0], [1]])
        >>> scaler = GETSScaler(2, features=torch.eye(2)).eval()
        >>> scaler(logits, edge_index, torch.tensor([True, False])).shape
        torch.Size([2, 2])
    """

    preserves_accuracy: bool = False
    needs_graph: ClassVar[bool] = True
    features: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        features: Tensor | None = None,
        hidden_channels: int = 16,
        embedding_channels: int = 16,
        top_k: int = 2,
        balance: float = 1.0,
        max_degree: int = 512,
        dropout: float = 0.5,
        published: bool = False,
        lr: float = 0.1,
        weight_decay: float = 0.0,
        max_epochs: int = 1000,
        patience: int = 50,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        check_count("num_classes", num_classes, least=2)
        for name, count in (
            ("hidden_channels", hidden_channels),
            ("embedding_channels", embedding_channels),
            ("max_degree", max_degree),
        ):
            check_count(name, count)
        check_number("balance", balance)
        check_probability("dropout", dropout)
        widths = {"logits": num_classes, "degree": embedding_channels}
        if features is not None:
            widths["features"] = embedding_channels
        subsets = [
            each for size in range(1, len(widths) + 1) for each in combinations(widths, size)
        ]
        check_count("top_k", top_k, most=len(subsets))
        self.num_classes = num_classes
        self.balance = balance
        self.max_degree = max_degree
        self.register_buffer("features", _checked(features), persistent=False)
        num_features = None if self.features is None else self.features.size(1)
        self.experts = nn.ModuleList(
            _Expert(
                subset,
                GCN(
                    sum(widths[each] for each in subset),
                    hidden_channels,
                    num_classes,
                    dropout=dropout,
                ),
                num_features,
                embedding_channels,
                max_degree,
                learned=not published,
            )
            for subset in subsets
        )
        self.lin = None if num_features is None else nn.Linear(num_features, embedding_channels)
        gated = num_classes + (0 if num_features is None else embedding_channels)
        self.gates = Gates(gated, len(subsets), top_k)
        self._unevenness: Tensor | None = None
        self._is_fitted_now = False

    @override
    def reset_parameters(self) -> None:
        """Draw all weights anew; those of gates are 0."""
        for expert in cast(Iterable[_Expert], self.experts):
            expert.reset_parameters()
        if self.lin is not None:
            self.lin.reset_parameters()
        self.gates.reset_parameters()

    @override
    def prepare(self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None) -> _Inputs:
        """The logits, degrees, and the graph normalised for convolutions."""
        check_classes(logits, self.num_classes)
        num_nodes = logits.size(0)
        if self.features is not None and self.features.size(0) != num_nodes:
            raise ValueError(
                f"'features' must have {num_nodes} rows as 'logits', got {self.features.size(0)}"
            )
        edges = check_edges(edge_index, num_nodes)
        degree = torch.bincount(edges.flatten(), minlength=num_nodes).clamp_max(self.max_degree)
        return _Inputs(logits, degree, NormalizedGraph.of(edges, num_nodes, logits.dtype))

    @override
    def calibrate(self, prepared: _Inputs) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        logits = prepared.logits
        features = None if self.features is None else self.features.to(logits.dtype)
        seen = [logits]
        if self.lin is not None and features is not None:
            seen.append(_map(self.lin, features))
        gates, unevenness = self.gates(torch.cat(seen, dim=1))
        self._unevenness = unevenness if self._is_fitted_now else None
        total = torch.zeros_like(logits)
        for gate, expert in zip(gates.split(1, dim=1), self.experts, strict=True):
            total = total + gate * expert(prepared, features)
        return logits * softplus(total)

    @override
    def penalty(self) -> Tensor | float:
        """How unevenly experts were used in the last step."""
        return 0.0 if self._unevenness is None else self.balance * self._unevenness

    @override
    def _fit(
        self, prepared: _Inputs, y: Tensor, val_mask: Tensor, train_mask: Tensor | None
    ) -> None:
        self._is_fitted_now = True
        try:
            super()._fit(prepared, y, val_mask, train_mask)
        finally:
            # Kept on, it would hold all that its gradient needs.
            self._is_fitted_now, self._unevenness = False, None


class _Expert(nn.Module):
    """A network on some of the inputs."""

    def __init__(
        self,
        subset: tuple[str, ...],
        gcn: GCN,
        num_features: int | None,
        channels: int,
        max_degree: int,
        *,
        learned: bool,
    ) -> None:
        super().__init__()
        self.subset = subset
        self.gcn = gcn
        self.lin = self.embedding = None
        if "features" in subset and num_features is not None:
            self.lin = nn.Linear(num_features, channels)
        if "degree" in subset:
            self.embedding = nn.Embedding(max_degree + 1, channels)
            self.embedding.weight.requires_grad_(learned)

    def reset_parameters(self) -> None:
        self.gcn.reset_parameters()
        for module in (self.lin, self.embedding):
            if module is not None:
                module.reset_parameters()

    def forward(self, inputs: _Inputs, features: Tensor | None) -> Tensor:
        dtype = inputs.logits.dtype
        parts = [inputs.logits] if "logits" in self.subset else []
        if self.embedding is not None:
            parts.append(self.embedding(inputs.degree).to(dtype))
        if self.lin is not None and features is not None:
            parts.append(_map(self.lin, features))
        out: Tensor = self.gcn(torch.cat(parts, dim=1), inputs.graph)
        return out


def _map(lin: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, lin.weight.to(x.dtype), lin.bias.to(x.dtype))


def _checked(features: Tensor | None) -> Tensor | None:
    if features is None:
        return None
    if not isinstance(features, Tensor) or not features.is_floating_point():
        kind = features.dtype if isinstance(features, Tensor) else type(features).__name__
        raise TypeError(f"'features' must be a floating-point tensor, got {kind}")
    if features.layout != torch.strided or features.dim() != 2 or features.size(1) < 1:
        raise ValueError(
            f"'features' must be dense of shape [N, F], got {features.layout} of shape "
            f"{list(features.shape)}"
        )
    features = features.detach()
    if not bool(torch.isfinite(features).all()):
        row = int((~torch.isfinite(features)).any(dim=1).nonzero()[0])
        raise ValueError(f"'features' must be finite, row {row} is not")
    return features
