from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphattn.sampling._graph import EDGE, NODE, graph_of

EDGE_INDEX = torch.tensor([[1, 2, 0, 2, 1], [2, 0, 1, 1, 0]])
# The edges by destination, in their order.
ORDER, ROWPTR, COL = [1, 4, 2, 3, 0], [0, 2, 4, 5], [2, 1, 0, 2, 1]
PLACES = torch.tensor([[0.0, 1, 1], [1, 0, 1], [0, 1, 0]])


def test_a_graph() -> None:
    data = Data(edge_index=EDGE_INDEX, num_nodes=3, w=torch.arange(5), t=torch.arange(10, 15))
    graph = graph_of(data, weight_attr="w", time_attr="t")
    relation = graph.relations[EDGE]
    assert not graph.is_hetero
    assert graph.num_nodes == {NODE: 3}
    assert relation.rowptr.tolist() == ROWPTR
    assert relation.col.tolist() == COL
    assert relation.col.dtype == torch.int32
    assert graph.edge[EDGE].tolist() == ORDER
    assert relation.weight.tolist() == ORDER
    assert relation.weight.dtype == torch.double
    assert relation.time.tolist() == [10 + edge for edge in ORDER]
    assert graph.node_time == {}


def test_times_of_nodes() -> None:
    graph = graph_of(Data(edge_index=EDGE_INDEX, t=torch.arange(3), num_nodes=3), time_attr="t")
    assert graph.node_time[NODE].tolist() == [0, 1, 2]
    assert graph.relations[EDGE].time is None


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_matrix(layout: torch.layout) -> None:
    graph = graph_of(Data(adj_t=PLACES.to_sparse(layout=layout), num_nodes=3))
    assert graph.relations[EDGE].rowptr.tolist() == ROWPTR
    assert graph.relations[EDGE].col.tolist() == [1, 2, 0, 2, 1]
    assert graph.edge[EDGE] is None


def test_matrix_of_torch_sparse() -> None:
    parts = torch.tensor(ROWPTR), torch.tensor(COL), None
    adj_t = SimpleNamespace(csr=lambda: parts, sizes=lambda: [3, 3])
    data = Data(num_nodes=3)
    data.adj_t = adj_t
    assert graph_of(data).relations[EDGE].col.tolist() == COL


def hetero() -> HeteroData:
    data = HeteroData()
    data["a"].x, data["b"].num_nodes = torch.zeros(2, 1), 3
    data["a", "to", "b"].edge_index = torch.tensor([[1, 0, 1], [2, 0, 0]])
    data["b", "of", "a"].edge_index = torch.tensor([[2], [1]])
    return data


def test_types() -> None:
    data = hetero()
    data["a", "to", "b"].w = torch.tensor([3.0, 4, 5]).view(3, 1)
    data["b"].t = torch.arange(3)
    graph = graph_of(data, weight_attr="w", time_attr="t")
    assert graph.is_hetero
    assert graph.num_nodes == {"a": 2, "b": 3}
    assert list(graph.relations) == [("a", "to", "b"), ("b", "of", "a")]
    assert graph.relations["a", "to", "b"].rowptr.tolist() == [0, 2, 2, 3]
    assert graph.relations["a", "to", "b"].weight.tolist() == [4, 5, 3]
    assert graph.relations["b", "of", "a"].weight is None
    assert graph.node_time.keys() == {"b"}
    data["b", "of", "a"].t = torch.zeros(1)
    with pytest.raises(ValueError, match=r"'time_attr' .* or of edges, got 't', which both"):
        graph_of(data, time_attr="t")


def test_stores() -> None:
    data = Data(x=torch.zeros(3, 1), edge_index=EDGE_INDEX)
    graph = graph_of((data, data))
    assert graph.relations[EDGE].rowptr.tolist() == ROWPTR
    assert torch.equal(EDGE_INDEX[0][graph.edge[EDGE]], graph.relations[EDGE].col)
    types = hetero()
    types["b"].x = torch.zeros(3, 1)
    graph = graph_of((types, types))
    assert graph.is_hetero
    assert graph.num_nodes == {"a": 2, "b": 3}
    assert graph.relations["a", "to", "b"].rowptr.tolist() == [0, 2, 2, 3]


def given(**attributes: object) -> Data:
    return Data(**({"edge_index": EDGE_INDEX, "num_nodes": 3} | attributes))


@pytest.mark.parametrize(
    ("data", "names", "error", "text"),
    [
        (torch.zeros(3), {}, TypeError, "'data' must be a .*Data or HeteroData, .* got Tensor"),
        (given(edge_index=None), {}, TypeError, r"'data\.edge_index' .* got NoneType"),
        (given(edge_index=EDGE_INDEX + 1), {}, ValueError, r"'edge_index\[\d\]' .* \[0, 3\)"),
        (given(adj_t=PLACES.to_sparse_csr()), {}, ValueError, "'edge_index' or 'adj_t', got both"),
        (
            Data(adj_t=PLACES[:2].to_sparse_csr(), num_nodes=3),
            {},
            ValueError,
            r"'data\.adj_t' must have shape \[3, 3\], got \[2, 3\]",
        ),
        (Data(adj_t=PLACES, num_nodes=3), {}, TypeError, "'data.adj_t' .* got a dense tensor"),
        (Data(adj_t=7, num_nodes=3), {}, TypeError, "'data.adj_t' must be a sparse .* got int"),
        (given(), {"weight_attr": "w"}, ValueError, "'weight_attr' must name .* got 'w'"),
        (given(), {"time_attr": "t"}, ValueError, "'time_attr' must name .* got 't'"),
        (
            given(w=torch.ones(5, 2)),
            {"weight_attr": "w"},
            ValueError,
            r"'weight_attr' .* each of 5 edges, got shape \[5, 2\]",
        ),
        (given(w=-torch.ones(5)), {"weight_attr": "w"}, ValueError, "weights from 0, got -1.0"),
        (given(w=torch.full((5,), torch.nan)), {"weight_attr": "w"}, ValueError, "got nan"),
        (given(w=torch.full((5,), torch.inf)), {"weight_attr": "w"}, ValueError, "got inf"),
        (
            given(t=torch.zeros(3, 2)),
            {"time_attr": "t"},
            ValueError,
            r"'time_attr' .* got 't' of shape \[3, 2\]",
        ),
        ((given(), given()), {"time_attr": "t"}, ValueError, "'time_attr' must be None .* got 't'"),
        ((given(), given()), {"weight_attr": "w"}, ValueError, "'weight_attr' must be None"),
    ],
)
def test_bad_graphs(data: object, names: dict[str, str], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        graph_of(data, **names)


def test_positions_follow_the_edges() -> None:
    """Whatever the order in which edges come."""
    weight = torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5])

    def by_edge(order: Tensor) -> set[tuple[int, int, float]]:
        data = Data(edge_index=EDGE_INDEX[:, order], num_nodes=3, w=weight[order])
        relation = graph_of(data, weight_attr="w").relations[EDGE]
        dst = torch.repeat_interleave(relation.rowptr.diff())
        return set(zip(relation.col.tolist(), dst.tolist(), relation.weight.tolist(), strict=True))

    assert by_edge(torch.arange(5)) == by_edge(torch.tensor([3, 1, 4, 0, 2]))
