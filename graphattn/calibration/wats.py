"""Wavelet-aware temperature scaling."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, get_args

import torch
from scipy.special import ive
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, softplus
from torch_geometric.typing import Adj
from torch_geometric.utils import degree
from typing_extensions import override

from graphattn._core.checks import check_count, check_number, check_probability
from graphattn._core.errors import unknown_name
from graphattn.calibration.calibrator import GradientCalibrator
from graphattn.calibration.inputs import check_edges
from graphattn.ops import spmm

__all__ = ["WATSScaler", "wavelet_coefficients", "wavelet_features"]

Coefficients = Literal["exponential", "integral", "heat"]

_ISOLATED = 1e-6
_LEAST_NORM = 1e-12
_LEAST_TEMPERATURE = 1e-6


class WATSScaler(GradientCalibrator):
    r"""A temperature for every node, from wavelet features of the graph alone.

    .. math::
        \mathbf{z}_i / (T_i + 10^{-6}), \qquad T_i = \mathrm{softplus}(\mathbf{w}_2 \,
        \mathrm{ReLU}(\mathbf{W}_1 \mathbf{f}_i + \mathbf{b}_1) + b_2)

    From `"WATS: Wavelet-Aware Temperature Scaling for Reliable Graph Neural Networks"
    <https://arxiv.org/abs/2506.23782>`_ (Li et al., ICLR 2026). The features :math:`\mathbf{f}_i`
    (:func:`wavelet_features`) are computed once from degrees, so that a step of the fit touches no
    edge. Neither logits nor features of nodes enter the temperature.

    The defaults are those of the authors' newest code. Their first code is
    ``order=2, scale=1.2, coefficients="integral"``; neither is the expansion of a heat kernel,
    which is ``coefficients="heat"``.

    Note:
        The authors' data has self-loops added for most of their graphs, which count in degrees; add
        them to ``edge_index`` to have the same. Their setting of dropout has no effect: the
        network always has 0.3, the default here.

    Args:
        order: Largest order :math:`K` of the Chebyshev polynomials.
        scale: Scale :math:`s` of the wavelet.
        coefficients: See :func:`wavelet_coefficients`.
        hidden_channels: Hidden units; the authors take 16 to 128.
        dropout: Probability of dropout of hidden units.
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss on training nodes after which the fit ends.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> logits, edge_index = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0], [1]])
        >>> scaler = WATSScaler().eval()
        >>> scaler(logits, edge_index, torch.tensor([True, False])).argmax(dim=1)
        tensor([0, 1])
    """

    needs_graph: ClassVar[bool] = True

    def __init__(
        self,
        *,
        order: int = 4,
        scale: float = 0.4,
        coefficients: Coefficients = "exponential",
        hidden_channels: int = 16,
        dropout: float = 0.3,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 1000,
        patience: int = 50,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, patience=patience)
        check_count("hidden_channels", hidden_channels)
        check_probability("dropout", dropout)
        self.coefficients = wavelet_coefficients(order, scale, coefficients)
        self.dropout = dropout
        self.lin1 = nn.Linear(order + 1, hidden_channels)
        self.lin2 = nn.Linear(hidden_channels, 1)

    @override
    def reset_parameters(self) -> None:
        """Draw the weights of the network anew."""
        self.lin1.reset_parameters()
        self.lin2.reset_parameters()

    @override
    def prepare(
        self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The logits, and the features of nodes. Shapes ``[N, C]`` and ``[N, K + 1]``."""
        edges = check_edges(edge_index, logits.size(0))
        features = wavelet_features(edges, logits.size(0), self.coefficients, dtype=logits.dtype)
        return logits, features

    @override
    def calibrate(self, prepared: tuple[Tensor, Tensor]) -> Tensor:
        """See :meth:`Calibrator.calibrate`."""
        logits, features = prepared
        return logits / (self.temperatures(features) + _LEAST_TEMPERATURE)

    def temperatures(self, features: Tensor) -> Tensor:
        """Temperatures of nodes.

        Args:
            features: See :func:`wavelet_features`. Shape ``[N, K + 1]``.

        Returns:
            Positive. Shape ``[N, 1]``.
        """
        dtype = features.dtype
        x = linear(features, self.lin1.weight.to(dtype), self.lin1.bias.to(dtype)).relu()
        x = dropout(x, self.dropout, self.training)
        return softplus(linear(x, self.lin2.weight.to(dtype), self.lin2.bias.to(dtype)))


def wavelet_coefficients(order: int, scale: float, kind: Coefficients) -> list[float]:
    r"""Factors of Chebyshev polynomials.

    Args:
        order: Largest order :math:`K`.
        scale: Scale :math:`s`.
        kind: ``"exponential"``: :math:`a_k = e^{-s k}`, the authors' newest code. ``"integral"``:
            :math:`a_k = \frac{2}{\pi} \int_0^\pi \cos(k t) \, e^{-s (\cos t + 1)} dt = 2 e^{-s}
            (-1)^k I_k(s)`, their first. ``"heat"``: the same with :math:`a_0` halved, with which
            :math:`\sum_k a_k T_k(\mathbf{L} - \mathbf{I})` is :math:`e^{-s \mathbf{L}}` for large
            :math:`K`.

    Returns:
        :math:`a_0` to :math:`a_K`.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range; names it and its value.

    Example:
        >>> [round(each, 4) for each in wavelet_coefficients(2, 0.4, "exponential")]
        [1.0, 0.6703, 0.4493]
    """
    check_count("order", order, least=0)
    check_number("scale", scale, positive=True)
    if kind not in get_args(Coefficients):
        raise unknown_name("kind of 'coefficients'", str(kind), get_args(Coefficients))
    if kind == "exponential":
        return [math.exp(-scale * k) for k in range(order + 1)]
    found = [2 * (-1) ** k * float(ive(k, scale)) for k in range(order + 1)]
    if kind == "heat":
        found[0] /= 2
    return found


def wavelet_features(
    edge_index: Tensor, num_nodes: int, coefficients: list[float], *, dtype: torch.dtype
) -> Tensor:
    r"""Chebyshev polynomials of the graph's Laplacian, on logarithms of degrees.

    With :math:`x_i = \log(1 + d_i)` of in-degrees plus out-degrees, 1e-6 if there are none, and
    :math:`\hat{\mathbf{L}} = -\mathbf{D}^{-1/2} \mathbf{A} \mathbf{D}^{-1/2}`, the columns are
    :math:`a_k T_k(\hat{\mathbf{L}}) \mathbf{x}`; rows are divided by their sum of absolute values.
    :math:`\mathbf{D}` has in-degrees, and sums go over the edges that leave a node. Self-loops
    count in :math:`\mathbf{x}`, not in :math:`\mathbf{A}`; parallel edges count as often as they
    are there. A node without incoming edges has -1 on its diagonal of :math:`\hat{\mathbf{L}}`.

    Args:
        edge_index: Sources and destinations. Shape ``[2, E]``.
        num_nodes: Number of nodes.
        coefficients: :math:`a_0` to :math:`a_K`.
        dtype: Type of the result.

    Returns:
        Shape ``[N, K + 1]``.
    """
    src, dst = edge_index
    incoming, outgoing = (degree(ends.long(), num_nodes, dtype) for ends in (dst, src))
    x = torch.log1p((incoming + outgoing).clamp_min(_ISOLATED)).unsqueeze(1)

    src, dst = edge_index[:, src != dst]
    received: Tensor = degree(dst.long(), num_nodes, dtype)
    inverse = received.clamp_min(1).rsqrt()
    weight = (inverse.index_select(0, src) * inverse.index_select(0, dst)).unsqueeze(1)
    backward = torch.stack([dst, src])
    lonely = (received == 0).to(dtype).unsqueeze(1)

    def laplace(values: Tensor) -> Tensor:
        summed = spmm(values.unsqueeze(1), weight, backward, num_dst=num_nodes).squeeze(1)
        return -summed - lonely * values

    terms = [x]
    for k in range(1, len(coefficients)):
        moved = laplace(terms[-1])
        terms.append(moved if k == 1 else 2 * moved - terms[-2])
    features = torch.cat(terms, dim=1) * x.new_tensor(coefficients)
    return features / features.abs().sum(dim=1, keepdim=True).clamp_min(_LEAST_NORM)
