from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import HeteroSamplerOutput, SamplerOutput

from graphattn.sampling._part import Apart

EDGE_INDEX = torch.tensor([[1, 2, 3, 0, 0], [0, 1, 2, 3, 1]])
NODES, EDGES = torch.tensor([3, 0, 1]), torch.tensor([3, 0])
ROW, COL = torch.tensor([1, 2]), torch.tensor([0, 1])
OUT = SamplerOutput(node=NODES, row=ROW, col=COL, edge=EDGES)
DENSE = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [4.0, 5.0, 6.0]])


def part(out: SamplerOutput = OUT, order: Tensor | None = None, **attributes: object) -> Data:
    """What an empty batch gets of a graph."""
    apart = Apart.of(Data(edge_index=EDGE_INDEX, num_nodes=4, **attributes))
    assert apart is not None
    return apart.add(Data(), out, order)


def test_nothing_apart() -> None:
    data = Data(x=DENSE, edge_index=EDGE_INDEX, title="toy", notes=["a", "b"], w=torch.ones(5))
    assert Apart.of(data) is None
    assert Apart.of((data, data)) is None
    assert Apart.of(HeteroData(a={"x": DENSE})) is None


def test_lists() -> None:
    out = part(name=["a", "b", "c", "d"], kind=tuple("vwxyz"))
    assert out.name == ["d", "a", "b"]
    assert out.kind == ["y", "v"]


def test_edges_that_a_sampler_numbers_anew() -> None:
    assert part(order=torch.tensor([4, 3, 2, 1, 0]), kind=tuple("vwxyz")).kind == ["w", "z"]


def test_edges_without_a_number() -> None:
    out = SamplerOutput(node=NODES, row=ROW, col=COL, edge=None)
    assert "kind" not in part(out, kind=tuple("vwxyz"))


def test_the_rest() -> None:
    data = Data(edge_index=EDGE_INDEX, x=DENSE.to_sparse_csr(), name=["a", "b", "c", "d"])
    before = data.to_dict()
    apart = Apart.of(data)
    assert sorted(value.name for value in apart.values) == ["name", "x"]
    assert apart.rest.to_dict().keys() == {"edge_index", "num_nodes"}
    assert apart.rest.num_nodes == 4
    assert data.to_dict().keys() == before.keys()
    assert all(data[key] is value for key, value in before.items())


def test_types() -> None:
    data = HeteroData()
    data["a"].x, data["b"].name = DENSE.to_sparse_csr(), ["u", "v", "w"]
    data["b"].num_nodes = 3
    key = ("a", "to", "b")
    data[key].edge_index = torch.tensor([[0, 1, 3], [0, 0, 2]])
    data[key].kind = ["p", "q", "r"]
    apart = Apart.of(data)
    assert (apart.rest["a"].num_nodes, apart.rest["b"].num_nodes) == (4, 3)
    out = HeteroSamplerOutput(
        node={"a": torch.tensor([3, 1]), "b": torch.tensor([2])},
        row={key: torch.tensor([0])},
        col={key: torch.tensor([0])},
        edge={key: torch.tensor([2])},
    )
    batch = apart.add(HeteroData(), out, None)
    assert torch.equal(batch["a"].x.to_dense(), DENSE[[3, 1]])
    assert batch["b"].name == ["w"]
    assert batch[key].kind == ["r"]


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_matrices(layout: torch.layout) -> None:
    # Row 0 has sources 1 and 2, row 1 has source 3.
    adj_t = torch.tensor([[0.0, 1, 2, 0], [0, 0, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0]])
    apart = Apart.of(Data(adj_t=adj_t.to_sparse(layout=layout), num_nodes=4))
    out = SamplerOutput(
        node=torch.tensor([0, 2, 1]),
        row=torch.tensor([1, 2, 2]),
        col=torch.tensor([0, 0, 0]),
        edge=torch.tensor([1, 0, 0]),
    )
    batch = apart.add(Data(), out, None)
    assert batch.adj_t.layout == layout
    # The edge that was drawn twice counts twice.
    assert batch.adj_t.to_dense().tolist() == [[0, 2, 2], [0, 0, 0], [0, 0, 0]]


def test_matrices_are_sorted_once() -> None:
    data = Data(adj_t=DENSE @ DENSE.T, num_nodes=4)
    data.adj_t = data.adj_t.to_sparse_coo()
    first = Apart.of(data)
    assert Apart.of(data, first).values[0].value is first.values[0].value
    data.adj_t = data.adj_t.clone()
    assert Apart.of(data, first).values[0].value is not first.values[0].value


@pytest.mark.parametrize("nodes", [[3, 0, 1], [1], [], [2, 2, 0]])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_sparse_rows(nodes: list[int], dtype: torch.dtype) -> None:
    x = DENSE.to_sparse_csr()
    x = torch.sparse_csr_tensor(
        x.crow_indices().to(dtype), x.col_indices().to(dtype), x.values(), x.shape
    )
    index = torch.tensor(nodes, dtype=torch.long)
    out = part(SamplerOutput(node=index, row=ROW, col=COL, edge=EDGES), x=x).x
    assert out.layout == torch.sparse_csr
    assert out.crow_indices().dtype == out.col_indices().dtype == dtype
    assert torch.equal(out.to_dense(), DENSE[index])
    with torch.sparse.check_sparse_tensor_invariants():
        torch.sparse_csr_tensor(out.crow_indices(), out.col_indices(), out.values(), out.shape)
