from __future__ import annotations

import pytest
import torch
from torch_geometric import EdgeIndex

from graphattn.calibration.inputs import check_classes, check_edges


def test_classes() -> None:
    check_classes(torch.zeros(5, 3), 3)
    with pytest.raises(ValueError, match=r"'logits' must have 3 columns, .* got 4"):
        check_classes(torch.zeros(5, 4), 3)


def test_all_forms_of_a_graph_are_one() -> None:
    edges = torch.tensor([[0, 1, 2], [1, 2, 2]])
    matrix = torch.sparse_coo_tensor(edges.flip(0), torch.ones(3), (3, 3)).coalesce()
    for graph in (edges, EdgeIndex(edges), matrix, matrix.to_sparse_csr()):
        assert torch.equal(check_edges(graph, 3), edges)
    assert check_edges(edges.int(), 3).dtype == torch.int32


def test_others_are_refused() -> None:
    with pytest.raises(ValueError, match="'edge_index' must be given, got None"):
        check_edges(None, 3)
    with pytest.raises(TypeError, match="'edge_index' must be int32 or int64"):
        check_edges(torch.zeros(2, 3), 3)
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' must lie in \[0, 3\)"):
        check_edges(torch.tensor([[0], [3]]), 3)
    with pytest.raises(ValueError, match=r"is a matrix of shape \[4, 4\], expected \[3, 3\]"):
        check_edges(torch.eye(4).to_sparse_csr(), 3)
