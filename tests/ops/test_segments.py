from __future__ import annotations

from typing import Any

import torch
from torch_geometric.utils import softmax

from graphattn.ops._segments import edge_softmax, spmm


def test_equals_pyg_s_softmax(graph: Any) -> None:
    score = torch.randn(graph.edge_index.size(1), 2, dtype=torch.float64)
    expected = softmax(score, graph.edge_index[1], num_nodes=graph.num_dst)
    torch.testing.assert_close(edge_softmax(score, graph.edge_index[1], graph.num_dst), expected)


def test_equals_a_dense_product(graph: Any) -> None:
    x = torch.randn(graph.num_src, 2, 3, dtype=torch.float64)
    weight = torch.randn(graph.edge_index.size(1), 2, dtype=torch.float64)
    bias = torch.randn(2, 3, dtype=torch.float64)
    dense = torch.zeros(graph.num_dst, graph.num_src, 2, dtype=torch.float64)
    dense.index_put_((graph.edge_index[1], graph.edge_index[0]), weight, accumulate=True)
    expected = torch.einsum("ijh,jhc->ihc", dense, x) + bias
    torch.testing.assert_close(spmm(x, weight, graph.edge_index, graph.num_dst, bias), expected)
