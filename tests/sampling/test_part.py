from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphattn.sampling._part import part_of

EDGE_INDEX = torch.tensor([[1, 2, 3, 0, 0], [0, 1, 2, 3, 1]])
NODES, EDGES = torch.tensor([3, 0, 1]), torch.tensor([3, 0])
PART = torch.tensor([[1, 2], [0, 1]])


def part(**attributes: object) -> Data:
    return part_of(Data(edge_index=EDGE_INDEX, num_nodes=4, **attributes), NODES, EDGES, PART)


def test_nodes_and_edges() -> None:
    x, weight = torch.arange(8.0).view(4, 2), torch.arange(5.0)
    out = part(x=x, edge_weight=weight)
    assert torch.equal(out.x, x[NODES])
    assert torch.equal(out.edge_weight, weight[EDGES])
    assert torch.equal(out.edge_index, PART)
    assert out.num_nodes == 3


def test_what_belongs_to_neither_is_shared() -> None:
    centre, notes = torch.zeros(9), {"source": "here"}
    out = part(centre=centre, notes=notes, title="toy", scale=torch.tensor(2.0))
    assert out.centre is centre
    assert out.notes == notes
    assert (out.title, out.scale.item()) == ("toy", 2.0)


def test_arrays_and_lists() -> None:
    out = part(name=["a", "b", "c", "d"], weight=np.array([1, 2, 3, 4]), kind=tuple("vwxyz"))
    assert out.name == ["d", "a", "b"]
    assert out.weight.tolist() == [4, 1, 2]
    assert out.kind == ["y", "v"]


def test_as_many_nodes_as_edges() -> None:
    """Then names say what belongs to edges, as in PyG."""
    data = Data(edge_index=EDGE_INDEX[:, :4], x=torch.arange(4), edge_attr=torch.arange(4))
    out = part_of(data, NODES, EDGES, PART)
    assert out.x.tolist() == [3, 0, 1]
    assert out.edge_attr.tolist() == [3, 0]


def test_the_graph_stays_as_it_is() -> None:
    data = Data(edge_index=EDGE_INDEX, x=torch.arange(4), name=["a", "b", "c", "d"])
    before = data.to_dict()
    out = part_of(data, NODES, EDGES, PART)
    out.extra = 1
    assert data.to_dict().keys() == before.keys()
    assert all(data[key] is value for key, value in before.items())


DENSE = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize("nodes", [[3, 0, 1], [1], [], [2, 2, 0]])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_sparse_rows(nodes: list[int], dtype: torch.dtype) -> None:
    x = DENSE.to_sparse_csr()
    x = torch.sparse_csr_tensor(
        x.crow_indices().to(dtype), x.col_indices().to(dtype), x.values(), x.shape
    )
    index = torch.tensor(nodes, dtype=torch.long)
    data = Data(x=x, edge_index=EDGE_INDEX)
    out: Tensor = part_of(data, index, EDGES, PART).x
    assert out.layout == torch.sparse_csr
    assert out.crow_indices().dtype == out.col_indices().dtype == dtype
    assert torch.equal(out.to_dense(), DENSE[index])
    with torch.sparse.check_sparse_tensor_invariants():
        torch.sparse_csr_tensor(out.crow_indices(), out.col_indices(), out.values(), out.shape)
