from __future__ import annotations

import pytest
import torch
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csc_tensor, to_torch_csr_tensor

from graphattn.nn.conv._edges import as_edge_list, with_weights

EDGES = torch.tensor([[0, 2, 1], [1, 0, 2]])


@pytest.mark.parametrize("convert", [to_torch_coo_tensor, to_torch_csr_tensor, to_torch_csc_tensor])
def test_there_and_back(convert: object) -> None:
    matrix = convert(EDGES.flip(0), size=(3, 3))
    edges, values = as_edge_list(matrix)
    assert values is None
    assert set(map(tuple, edges.t().tolist())) == set(map(tuple, EDGES.t().tolist()))
    alpha = torch.arange(3.0).unsqueeze(1)
    back, values = with_weights(matrix, edges, alpha, (3, 3))
    assert back.layout == matrix.layout
    again, vectors = as_edge_list(back)
    assert vectors is not None
    found = dict(zip(map(tuple, again.t().tolist()), vectors.flatten().tolist(), strict=True))
    assert found == dict(zip(map(tuple, edges.t().tolist()), alpha.flatten().tolist(), strict=True))


def test_vectors_of_a_matrix_are_edge_features() -> None:
    features = torch.randn(3, 2)
    _, values = as_edge_list(to_torch_coo_tensor(EDGES, features, size=(3, 3)))
    assert values.shape == (3, 2)
