from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GCN, GCNConv, GraphSAGE, Sequential, to_hetero

from graphattn.tasks import call_model
from graphattn.tasks.calling import rows_of


@pytest.fixture
def graph() -> Data:
    return Data(
        x=torch.randn(4, 3),
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]),
        edge_attr=torch.randn(3, 2),
        edge_weight=torch.rand(3),
        pe=torch.randn(4, 5),
        y=torch.tensor([0, 1, 0, 1]),
        train_mask=torch.ones(4, dtype=torch.bool),
        batch_size=2,
    )


@pytest.fixture
def hetero() -> HeteroData:
    data = HeteroData()
    data["a"].x, data["b"].x = torch.randn(3, 3), torch.randn(2, 3)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1, 2], [0, 1, 1]])
    data["b", "of", "a"].edge_index = torch.tensor([[0, 1], [0, 2]])
    return data


class Plain(nn.Module):
    """Gives back what it was called with."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Any:
        return x, edge_index


class Curious(nn.Module):
    def forward(
        self,
        edge_index: Tensor,
        x: Tensor,
        pe: Tensor,
        edge_weight: Tensor | None = None,
        batch_size: int | None = None,
        y: Tensor | None = None,
        train_mask: Tensor | None = None,
        missing: str = "own",
        *,
        edge_attr: Tensor | None = None,
    ) -> Any:
        return locals()


def test_inputs_go_by_name_and_not_by_place(graph: Data) -> None:
    got = call_model(Curious(), graph)
    for name in ("x", "edge_index", "pe", "edge_weight", "edge_attr"):
        assert got[name] is graph[name]


def test_labels_masks_and_the_number_of_seeds_are_no_inputs(graph: Data) -> None:
    got = call_model(Curious(), graph)
    assert (got["y"], got["train_mask"], got["batch_size"], got["missing"]) == (
        None, None, None, "own",
    )  # fmt: skip


def test_hooks_see_the_inputs(graph: Data) -> None:
    seen: list[Any] = []
    model = Plain()
    model.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    call_model(model, graph)
    assert seen[0] is graph.x
    assert seen[1] is graph.edge_index


def test_a_model_may_take_the_data_themselves(graph: Data) -> None:
    class Whole(nn.Module):
        def forward(self, data: Data) -> Data:
            return data

    class Batched(nn.Module):
        def forward(self, batch: Data) -> Data:
            return batch

    assert call_model(Whole(), graph) is graph
    assert call_model(Batched(), graph) is graph


def test_batch_beside_features_is_the_graph_of_every_node(graph: Data) -> None:
    class Pooled(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Any:
            return batch

    assert call_model(Pooled(), graph) is None
    several = Batch.from_data_list(
        [Data(x=torch.ones(2, 1), edge_index=graph.edge_index[:, :1])] * 2
    )
    assert call_model(Pooled(), several).tolist() == [0, 0, 1, 1]


def test_arguments_without_names_are_features_and_edges(graph: Data) -> None:
    class Unnamed(nn.Module):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    args, kwargs = call_model(Unnamed(), graph)
    assert (args[0] is graph.x, args[1] is graph.edge_index) == (True, True)
    assert list(kwargs) == ["edge_attr"]


def test_wrappers_are_looked_through(graph: Data) -> None:
    from lightning_fabric import Fabric

    model = Curious()
    fabric = Fabric(accelerator="cpu", devices=1)
    assert call_model(fabric.setup_module(model), graph)["pe"] is graph.pe
    compiled = torch.compile(GCN(3, 4, num_layers=1), backend="eager")
    assert call_model(compiled, graph).shape == (4, 4)


def test_a_module_that_only_holds_another_keeps_its_own_arguments(graph: Data) -> None:
    class Holder(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.module = Curious()

    assert len(call_model(Holder(), graph)) == 2


def test_pyg_sequential_and_adj_t(graph: Data) -> None:
    model = Sequential("x, edge_index", [(GCNConv(3, 2), "x, edge_index -> x")])
    expected = model(graph.x, graph.edge_index)
    assert torch.equal(call_model(model, graph), expected)
    graph.adj_t = torch.ones(4, 4)
    del graph.edge_index
    assert call_model(Plain(), graph)[1] is graph.adj_t


def test_several_types(hetero: HeteroData) -> None:
    class Dictionaries(nn.Module):
        def forward(self, x_dict: Any, edge_index_dict: Any, edge_attr_dict: Any = None) -> Any:
            return x_dict, edge_index_dict, edge_attr_dict

    x, edges, attributes = call_model(Dictionaries(), hetero)
    assert (set(x), set(edges), attributes) == (set("ab"), set(hetero.edge_types), None)
    model = to_hetero(GraphSAGE((-1, -1), 4, num_layers=1), hetero.metadata())
    out = call_model(model, hetero)
    assert rows_of(out, "b").shape == (2, 4)
    with pytest.raises(TypeError, match=r"'model' must give an output for 'c', got \['a', 'b'\]"):
        rows_of(out, "c")
    with pytest.raises(TypeError, match="'model' must give a tensor, got dict"):
        rows_of(out, None)


@pytest.mark.parametrize("name", ["features", "laplacian"])
def test_what_the_batch_lacks_is_named(graph: Data, name: str) -> None:
    source = f"def forward(self, {name}): pass"
    scope: dict[str, Any] = {}
    exec(source, scope)
    model = type("Other", (nn.Module,), {"forward": scope["forward"]})()
    with pytest.raises(
        ValueError, match=rf"of Other needs '{name}', but the batch has only .*'pe'"
    ):
        call_model(model, graph)


def test_a_model_that_needs_labels_is_told_so(graph: Data) -> None:
    class Cheat(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> None: ...

    with pytest.raises(ValueError, match=r"needs 'y', which is not given to models; .*'call'"):
        call_model(Cheat(), graph)
