"""The forms of ``edge_index`` that PyG accepts, as one edge list and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, SparseTensor
from torch_geometric.utils import (
    is_sparse,
    to_edge_index,
    to_torch_coo_tensor,
    to_torch_csc_tensor,
    to_torch_csr_tensor,
)

from graphattn.ops.checks import check_csr
from graphattn.ops.kept import kept

__all__ = ["as_edge_list", "check_matrix", "with_weights"]

_MATRIX_OF = {
    torch.sparse_coo: to_torch_coo_tensor,
    torch.sparse_csr: to_torch_csr_tensor,
    torch.sparse_csc: to_torch_csc_tensor,
}


def as_edge_list(edge_index: Adj) -> tuple[Tensor, Tensor | None]:
    """Sources and destinations of any form of ``edge_index``.

    Args:
        edge_index: ``[2, E]`` tensor, :class:`~torch_geometric.EdgeIndex`, or the transposed
            adjacency matrix (destinations in rows) as ``torch.sparse`` COO, CSR, CSC or
            ``torch_sparse.SparseTensor``.

    Returns:
        The edge list, shape ``[2, E]``, and the values of a matrix if they are vectors. As in PyG,
        scalar values are not edge features: matrices without a meaning of their own hold ones.

    Raises:
        TypeError: If ``edge_index`` is none of these.
    """
    if type(edge_index) is Tensor and edge_index.layout == torch.strided:
        return edge_index, None
    if is_sparse(edge_index):
        return _edges_of_matrix(edge_index)
    if isinstance(edge_index, EdgeIndex):
        return edge_index.as_tensor(), None
    if isinstance(edge_index, Tensor):
        return edge_index, None
    raise TypeError(
        "'edge_index' must be a [2, E] tensor, an EdgeIndex or a sparse matrix, "
        f"got {type(edge_index).__name__}"
    )


def _edges_of_matrix(matrix: Adj) -> tuple[Tensor, Tensor | None]:
    """An edge list that stays the same tensor for as long as the matrix has its pattern."""

    def make() -> Tensor:
        (dst, src), _ = to_edge_index(matrix)
        return torch.stack([src, dst])

    if isinstance(matrix, SparseTensor):
        pattern, values = matrix.storage.col(), matrix.storage.value()
    elif matrix.layout == torch.sparse_coo:
        pattern, values = matrix._indices(), matrix._values()
    else:
        check_csr(matrix, "edge_index")
        by_row = matrix.layout == torch.sparse_csr
        pattern, values = matrix.col_indices() if by_row else matrix.row_indices(), matrix.values()
    vectors = values is not None and values.dim() > 1
    edges = make() if torch.compiler.is_compiling() else kept(pattern, "edges", make, owner=matrix)
    return edges, values if vectors else None


def check_matrix(edge_index: Adj, num_src: int, num_dst: int, flow: str) -> None:
    """Check that a sparse matrix has a row per destination and a column per source.

    Raises:
        ValueError: If it has not.
    """
    if is_sparse(edge_index):
        if flow != "source_to_target":
            raise ValueError(
                f"'edge_index' is a sparse matrix, whose rows are destinations: flow={flow!r} "
                "takes an edge list"
            )
        shape = (edge_index.size(0), edge_index.size(1))
        if shape != (num_dst, num_src):
            raise ValueError(
                f"'edge_index' is a matrix of shape {list(shape)}, expected [{num_dst}, {num_src}] "
                "(destinations, sources)"
            )


def with_weights(
    edge_index: Adj, edges: Tensor, alpha: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor] | SparseTensor:
    """Edges with their weights, in the form in which ``edge_index`` came, as PyG returns them.

    Args:
        edge_index: The user's ``edge_index``.
        edges: Edge list. Shape ``[2, E']``.
        alpha: Weight of every edge. Shape ``[E', H]``.
        size: Number of source and destination nodes.

    Returns:
        ``(edges, alpha)`` for an edge list; ``(matrix, its values)`` for a ``torch.sparse`` matrix;
        a ``SparseTensor`` for a ``SparseTensor``. Parallel edges of a matrix are summed.
    """
    if not is_sparse(edge_index):
        return edges, alpha
    src, dst = edges
    if isinstance(edge_index, SparseTensor):
        return SparseTensor(row=dst, col=src, value=alpha, sparse_sizes=size[::-1])
    matrix = _MATRIX_OF[edge_index.layout](torch.stack([dst, src]), alpha, size=size[::-1])
    return matrix, matrix.values()
