from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData

from graphattn.tasks import GraphTask, LinkTask, NodeTask, make_task


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (torch.tensor([0, 4, -1]), "multiclass"),
        (torch.tensor([0, 1, 1]), "multiclass"),
        (torch.tensor([[0], [2], [1]], dtype=torch.int32), "multiclass"),
        (torch.tensor([True, False, True]), "binary"),
        (torch.tensor([[True], [False], [True]]), "binary"),
        (torch.zeros(3, 4), "multilabel"),
        (torch.full((3, 1), float("nan")), "multilabel"),
        (torch.tensor([[0, 1], [-1, 1], [1, 1]]), "multilabel"),
        (torch.zeros(3, 2, dtype=torch.bool), "multilabel"),
    ],
)
def test_guesses_what_labels_can_only_be(y: Tensor, labels: str) -> None:
    task = make_task(Data(x=torch.ones(3, 1), y=y))
    assert isinstance(task, NodeTask)
    assert task.labels == labels


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (torch.zeros(3), r"\[3\] and torch.float32"),
        (torch.tensor([[0, 5], [1, 2], [3, 1]]), r"\[3, 2\] and torch.int64"),
        (torch.zeros(3, 2, 2), r"\[3, 2, 2\]"),
    ],
)
def test_what_may_be_several_things_must_be_named(y: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=f"'y' must be .*{text}.*; pass task='binary'"):
        make_task(Data(x=torch.ones(3, 1), y=y))
    assert make_task(Data(x=torch.ones(3, 1), y=y), "binary").labels == "binary"


def test_rows_of_labels_tell_graphs_from_nodes() -> None:
    graphs = [Data(x=torch.ones(2, 1), y=torch.tensor([1]))] * 3
    assert isinstance(make_task(Batch.from_data_list(graphs), batched=True), GraphTask)
    nodes = [Data(x=torch.ones(2, 1), y=torch.tensor([1, 0]))] * 3
    assert isinstance(make_task(Batch.from_data_list(nodes), batched=True), NodeTask)
    both = [Data(x=torch.ones(1, 1), y=torch.tensor([1]))] * 3
    with pytest.raises(ValueError, match=r"may belong to the 3 nodes or to the 3 graphs"):
        make_task(Batch.from_data_list(both), batched=True)


def test_the_type_with_labels_is_the_target() -> None:
    data = HeteroData()
    data["a"].x, data["b"].x = torch.ones(2, 1), torch.ones(2, 1)
    with pytest.raises(ValueError, match=r"'y' must stand at one node type .* got none"):
        make_task(data)
    data["b"].y = torch.tensor([0, 1])
    task = make_task(data, metric="macro_f1")
    assert isinstance(task, NodeTask)
    assert (task.node_type, task.selects) == ("b", "macro_f1")
    data["a"].y = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"got \['a', 'b'\]; pass task=NodeTask"):
        make_task(data)


def test_labels_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="'y' is missing from 'data'"):
        make_task(Data(x=torch.ones(2, 1)))


def test_pairs_with_labels_are_links_where_nothing_else_has_any() -> None:
    pairs = {"edge_label": torch.tensor([1.0, 0.0]), "edge_label_index": torch.zeros(2, 2).long()}
    batch = Data(x=torch.ones(3, 1), **pairs)
    assert make_task(batch) == LinkTask()
    batch.y = torch.tensor([0, 1, 2])
    with pytest.raises(ValueError, match=r"beside other labels; pass task=LinkTask\(\) or"):
        make_task(batch)
    hetero, kind = HeteroData(), ("a", "to", "b")
    hetero[kind].edge_label = pairs["edge_label"]
    assert make_task(hetero) == LinkTask(edge_type=kind)
