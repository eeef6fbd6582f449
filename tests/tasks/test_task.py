from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data, HeteroData

from graphattn.tasks import GraphTask, LinkTask, NodeTask


def mask(*nodes: int, count: int = 5) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.bool).index_fill(0, torch.tensor(nodes), True)


@pytest.fixture
def graph() -> Data:
    return Data(
        x=torch.eye(5),
        edge_index=torch.tensor([[0], [1]]),
        y=torch.tensor([2, -1, 0, 1, -9]),
        train_mask=mask(0, 1),
        val_mask=mask(2),
        test_mask=mask(3),
    )


def test_examples_are_known_labels_inside_the_mask(graph: Data) -> None:
    rows, y = NodeTask(labels="multiclass").examples(graph, "train")
    assert (rows.tolist(), y.tolist()) == ([0], [2])


def test_of_a_sampled_batch_only_the_seeds_count(graph: Data) -> None:
    graph.batch_size = 3
    task = NodeTask(labels="multiclass")
    assert task.examples(graph, "val")[0].tolist() == [2]
    assert task.examples(graph, "test")[0].tolist() == []


def test_without_masks_all_nodes_count(graph: Data) -> None:
    for split in ("train", "val", "test"):
        del graph[f"{split}_mask"]
    assert NodeTask(labels="multiclass").examples(graph, "train")[0].tolist() == [0, 2, 3]


def test_a_node_with_any_known_answer_is_an_example(graph: Data) -> None:
    nan = float("nan")
    graph.y = torch.tensor([[nan, nan], [nan, 1], [0, 1], [1, nan], [0, 0]])
    rows, y = NodeTask(labels="multilabel").examples(graph, "train")
    assert rows.tolist() == [1]
    assert y[0, 0].isnan()


def test_labels_outside_the_masks_may_be_anything_and_those_inside_not(graph: Data) -> None:
    task = NodeTask(labels="multiclass")
    task.check(graph)
    graph.y[3] = -9
    with pytest.raises(ValueError, match=r"'y' must lie in .* got -9"):
        task.check(graph)


def test_masks_of_several_splits_are_an_error(graph: Data) -> None:
    graph.val_mask = graph.val_mask.view(-1, 1).repeat(1, 2)
    with pytest.raises(ValueError, match=r"'data.val_mask' must be of one split .*\[5, 2\]"):
        NodeTask(labels="multiclass").check(graph)


def test_one_type_of_nodes_is_the_target() -> None:
    data = HeteroData()
    data["a"].x, data["b"].x = torch.ones(5, 2), torch.ones(3, 2)
    data["a"].y, data["a"].train_mask = torch.tensor([1, 0, 1, 0, 1]), mask(1, 4)
    task = NodeTask(labels="binary", node_type="a")
    task.check(data)
    assert task.examples(data, "train")[0].tolist() == [1, 4]
    assert task.name == "node binary of a"

    class Both(nn.Module):
        def forward(self, x_dict: Any) -> Any:
            return {kind: x.sum(1) for kind, x in x_dict.items()}

    out = task.output(Both(), data)
    assert out.tolist() == [2.0] * 5
    task.check_output(out, data, data["a"].y)
    with pytest.raises(
        ValueError, match=r"'node_type' of the task must be one of 'a', 'b', got 'c'"
    ):
        NodeTask(labels="binary", node_type="c").check(data)


def test_graphs_are_examples_by_their_rows_of_labels() -> None:
    graphs = [Data(x=torch.ones(n, 1), y=torch.tensor([y])) for n, y in ((2, 1), (3, -1), (1, 0))]
    batch = Batch.from_data_list(graphs)
    task = GraphTask(labels="binary")
    task.check(batch)
    rows, y = task.examples(batch, "val")
    assert (rows.tolist(), y.tolist()) == ([0, 2], [1, 0])
    task.check_output(torch.zeros(3, 1), batch, batch.y)
    with pytest.raises(ValueError, match=r"'model' must give \[3, 1\] for 'binary'.*got \[6, 1\]"):
        task.check_output(torch.zeros(6, 1), batch, batch.y)


PAIRS = torch.tensor([[0, 1, 4], [2, 1, 0]])


class States(nn.Module):
    """A state per node: itself, doubled."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Scorer(nn.Module):
    """A score per pair."""

    def forward(self, x: torch.Tensor, edge_label_index: torch.Tensor) -> torch.Tensor:
        return edge_label_index.sum(dim=0, keepdim=True).t().float()


def test_pairs_are_scored_by_states_or_by_the_model() -> None:
    x = torch.randn(5, 3)
    batch = Data(x=x, edge_label_index=PAIRS, edge_label=torch.tensor([1.0, 0.0, -1.0]))
    task = LinkTask()
    task.check(batch)
    out = task.output(States(), batch)
    torch.testing.assert_close(out, 4 * (x[PAIRS[0]] * x[PAIRS[1]]).sum(dim=1))
    task.check_output(out, batch, batch.edge_label)
    rows, y = task.examples(batch, "val")
    assert (rows.tolist(), y.tolist()) == ([0, 1], [1, 0])
    scored = task.output(Scorer(), batch)
    task.check_output(scored, batch, batch.edge_label)
    assert task.logits(scored, rows).tolist() == [2, 2]
    own = LinkTask(call=lambda model, batch: model(batch.x)[batch.edge_label_index[0], 0])
    torch.testing.assert_close(own.output(States(), batch), 2 * x[PAIRS[0], 0])
    with pytest.raises(ValueError, match=r"'model' must give \[3, 1\] for 'binary'.* got \[5, 3\]"):
        task.check_output(2 * x, batch, batch.edge_label)
    del batch.edge_label_index
    with pytest.raises(ValueError, match="'edge_label_index' is missing from the batch"):
        task.check(batch)


def test_pairs_of_two_types() -> None:
    batch, kind = HeteroData(), ("user", "buys", "item")
    batch["user"].x, batch["item"].x = torch.randn(5, 3), torch.randn(3, 3)
    batch[kind].edge_index = torch.tensor([[0], [1]])
    batch[kind].edge_label_index = PAIRS
    batch[kind].edge_label = torch.tensor([1, 0, 1])
    task = LinkTask(edge_type=kind)
    task.check(batch)
    assert task.name == "link binary of user-buys-item"
    out = task.output(Doubled(), batch)
    expected = 4 * (batch["user"].x[PAIRS[0]] * batch["item"].x[PAIRS[1]]).sum(dim=1)
    torch.testing.assert_close(out, expected)
    with pytest.raises(ValueError, match=r"'edge_type' of the task must be one of .* got None"):
        LinkTask().check(batch)


class Doubled(nn.Module):
    """Of every type a state per node."""

    def forward(self, x_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: 2 * x for name, x in x_dict.items()}


def test_outputs_for_nodes(graph: Data) -> None:
    task = NodeTask(labels="multiclass")
    task.check_output(torch.zeros(5, 3), graph, graph.y)
    for shape in ((4, 3), (5, 2), (5,), ()):
        with pytest.raises(
            ValueError, match=r"'model' must give \[5, 3\] or wider for 'multiclass'"
        ):
            task.check_output(torch.zeros(shape), graph, graph.y)
    graph.batch_size = 2
    task.check_output(torch.zeros(2, 3), graph, graph.y)  # of a model that trims its batches


def test_a_call_of_ones_own(graph: Data) -> None:
    task = NodeTask(labels="binary", call=lambda model, batch: model(batch.x)[:, 0])
    assert task.output(nn.Identity(), graph).tolist() == [1, 0, 0, 0, 0]


def test_unknown_words_are_named() -> None:
    with pytest.raises(ValueError, match="unknown kind of labels 'multi'; did you mean"):
        NodeTask(labels="multi")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown metric for 'binary' labels 'auc'"):
        GraphTask(labels="binary", metric="auc")  # type: ignore[arg-type]


def test_the_named_metric_comes_first_and_costly_ones_only_if_named() -> None:
    assert NodeTask(labels="multiclass").metrics == ("accuracy", "micro_f1", "macro_f1")
    task = NodeTask(labels="multiclass", metric="roc_auc")
    assert task.metrics == ("roc_auc", "accuracy", "micro_f1", "macro_f1")
