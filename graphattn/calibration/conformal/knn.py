"""Edges to the nodes with the most similar features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from graphattn._core.checks import check_count

__all__ = ["knn_graph"]

# Similarities that are held at once.
_BLOCK_ENTRIES = 2**25


def knn_graph(x: Tensor, k: int = 20) -> tuple[Tensor, Tensor]:
    """Edges from every node to those with the most similar features, by cosine, as SNAPS has them.

    A node is not its own neighbour, and similarities of zero or less make no edge, so that nodes
    can have fewer than ``k``. The work grows with the square of ``N``; for millions of nodes take
    an approximate index from elsewhere, its edges and similarities fit :class:`SNAPS` as well.

    Args:
        x: Features, dense or ``torch.sparse``. For bags of words the authors of SNAPS first set all
            that is not zero to one. Shape ``[N, F]``.
        k: Neighbours of a node at most.

    Returns:
        Edges, from a node to its neighbour, and their similarities in the dtype of ``x``. Shapes
        ``[2, K]`` and ``[K]``.

    Raises:
        TypeError: If ``x`` is no floating-point tensor or ``k`` no whole number.
        ValueError: If ``x`` has another shape or is not finite, or ``k`` is not positive.

    Example:
        >>> knn_graph(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), k=1)
        (tensor([[0, 1],
                [1, 0]]), tensor([1., 1.]))
    """
    check_count("k", k)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"'x' must be a floating-point tensor, got {kind}")
    if x.dim() != 2:
        raise ValueError(f"'x' must have shape [N, F], got {list(x.shape)}")
    x = _unit_rows(x.to(torch.promote_types(x.dtype, torch.float32)))
    num_nodes = x.size(0)
    k = min(k, max(num_nodes - 1, 1))
    size = max(1, _BLOCK_ENTRIES // max(num_nodes, 1))
    edges = [torch.empty(2, 0, dtype=torch.int64, device=x.device)]
    weights = [torch.empty(0, dtype=x.dtype, device=x.device)]
    for first in range(0, num_nodes, size):
        nodes = torch.arange(first, min(first + size, num_nodes), device=x.device)
        similarity = (x @ x.index_select(0, nodes).to_dense().T).T
        similarity[nodes - first, nodes] = 0
        weight, neighbour = similarity.topk(k, dim=1)
        kept = weight > 0
        edges.append(torch.stack([nodes[:, None].expand_as(neighbour)[kept], neighbour[kept]]))
        weights.append(weight[kept])
    return torch.cat(edges, dim=1), torch.cat(weights)


def _unit_rows(x: Tensor) -> Tensor:
    """Rows of length one, or zero; dense, or COO."""
    dense = x.layout == torch.strided
    x = x if dense else x.to_sparse(layout=torch.sparse_coo).coalesce()
    values = x if dense else x.values()
    if not bool(torch.isfinite(values).all()):
        raise ValueError("'x' must be finite, got nan or infinity")
    if dense:
        return normalize(x, dim=1)
    node = x.indices()[0]
    length = values.new_zeros(x.size(0)).index_add_(0, node, values**2).sqrt()
    values = values / length[node].clamp(min=torch.finfo(x.dtype).tiny)
    return torch.sparse_coo_tensor(x.indices(), values, x.shape, is_coalesced=True)
