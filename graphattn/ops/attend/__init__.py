"""Attention along the edges of a graph, for any score."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphattn.ops.attend.dot_score import DotScore
from graphattn.ops.attend.gat_score import GATScore
from graphattn.ops.attend.gatv2_score import GATv2Score
from graphattn.ops.attend.given_score import GivenScore
from graphattn.ops.attend.projection import Projection
from graphattn.ops.attend.request import Request, check
from graphattn.ops.attend.score import Kernel, Score
from graphattn.ops.checks import check_edge_index
from graphattn.ops.dropout import seed_of

__all__ = [
    "DotScore",
    "GATScore",
    "GATv2Score",
    "GivenScore",
    "Kernel",
    "Projection",
    "Score",
    "attend",
    "attention_weights",
]


def attend(
    values: Tensor | Projection,
    score: Score,
    edge_index: Tensor,
    *,
    num_dst: int | None = None,
    num_self_loops: int = 0,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    bias: Tensor | Projection | None = None,
    flipped: bool = False,
    return_weights: bool = False,
) -> Any:
    r"""Sum the sources' values with the softmax of a score as weights.

    .. math::
        \mathbf{o}_i = \sum_{e = (j \to i)} k_e \alpha_e \, \mathbf{v}_j + \mathbf{b}, \qquad
        \alpha_e = \mathrm{softmax}_{e \in \mathrm{in}(i)}(s_e),

    where :math:`k_e` is 0 with probability ``dropout`` and :math:`1 / (1 - \mathrm{dropout})`
    otherwise. A node without an edge gets the bias alone.

    Everything that autograd allows is allowed, with the numbers of the definition in plain torch:
    in-place changes of the result, derivatives of any order, ``torch.func``, forward-mode AD. The
    kernels compute first derivatives; the others take the definition.

    On the CPU the kernels give the same bits for any number of threads, on every instruction set
    and in every run, forward and backward. Products of projections belong to BLAS, and sums of
    gradients over nodes (of a bias or a scorer) to torch, which promise that for runs alone.

    Args:
        values: :math:`\mathbf{v}` of the sources. Shape ``[N_src, H, C]``.
        score: The score :math:`s`, with its operands.
        edge_index: Sources and destinations. Shape ``[2, E]``, ``int32`` or ``int64``, any order.
        num_dst: Number of destinations; needed where no operand of the score tells.
        num_self_loops: The nodes 0 to ``num_self_loops - 1`` attend to themselves, once. A loop
            among the edges is taken where there is one; its further copies get the weight 0.
        dropout: Probability of dropping a coefficient, in ``[0, 1]``; pass 0 in evaluation.
        seed: Decides which coefficients are dropped, the same in every implementation. Drawn from
            torch's generator if not given. Shape ``[1]``, ``int64``.
        bias: Added to the sums before they are rounded. Shape ``[H, C]``, or ``[N_dst, H, C]`` for
            one of every destination.
        flipped: Destinations come first in ``edge_index``, as with PyG's
            ``flow="target_to_source"``.
        return_weights: Also return the coefficients, before dropout.

    Returns:
        The sums, in the dtype of ``values``, computed in ``float32`` at least; shape
        ``[N_dst, H, C]``. With ``return_weights`` a pair of these and what
        :func:`attention_weights` returns.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> values, u, w = torch.tensor([[[1.0]], [[3.0]]]), torch.zeros(2, 1), torch.zeros(2, 1)
        >>> attend(values, GATScore(u, w), torch.tensor([[0, 1], [1, 1]])).flatten()
        tensor([0., 2.])
    """
    if values is None:
        raise TypeError("'values' must be a tensor, got NoneType")
    edge_index = check_edge_index(edge_index)
    num_src, num_dst = check(values, score, edge_index, num_dst, num_self_loops, bias)
    device = values.x.device if isinstance(values, Projection) else values.device
    request = Request(
        "attend",
        score,
        edge_index,
        num_src,
        num_dst,
        values=values,
        num_self_loops=num_self_loops,
        dropout=dropout,
        seed=seed_of(dropout, seed, device),
        bias=bias,
        flipped=flipped,
        wants_alpha=return_weights,
    )
    out, alpha = request.run()
    return (out, alpha) if return_weights else out


def attention_weights(
    score: Score,
    edge_index: Tensor,
    *,
    num_dst: int | None = None,
    num_self_loops: int = 0,
    flipped: bool = False,
) -> Tensor:
    r"""Attention coefficients: the softmax of a score over the edges that enter a node.

    Args:
        score: The score, with its operands.
        edge_index: See :func:`attend`. Shape ``[2, E]``.
        num_dst: Number of destinations; needed where no operand of the score tells.
        num_self_loops: See :func:`attend`.
        flipped: See :func:`attend`.

    Returns:
        Coefficients of the edges in their order, then of the self-loops; 0 for the self-loop of a
        node that has one among its edges. Computed in ``float32`` at least. They sum to one over
        the edges of each node that has any. Shape ``[E + num_self_loops, H]``.

    Raises:
        TypeError: If ``edge_index`` does not hold integers, or another input no floating point.
        ValueError: If a shape does not fit, inputs are on several devices or, on the CPU, an index
            is out of range.

    Example:
        >>> u, w = torch.zeros(2, 1), torch.zeros(2, 1)
        >>> attention_weights(GATScore(u, w), torch.tensor([[0], [1]]), num_self_loops=2)
        tensor([[0.5000],
                [1.0000],
                [0.5000]])
    """
    edge_index = check_edge_index(edge_index)
    num_src, num_dst = check(None, score, edge_index, num_dst, num_self_loops, None)
    request = Request(
        "attend",
        score,
        edge_index,
        num_src,
        num_dst,
        num_self_loops=num_self_loops,
        flipped=flipped,
        wants_alpha=True,
    )
    return request.coefficients()
