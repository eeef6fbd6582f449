from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.tasks import NodeTask
from graphattn.train import evaluate


class Fixed(nn.Module):
    """Gives stored logits, other ones in training mode."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return -self.logits if self.training else self.logits


def test_classes_agree_with_scikit_learn(graph: Data) -> None:
    logits = torch.randn(graph.num_nodes, 3, dtype=torch.float64)
    scores = evaluate(Fixed(logits), graph)
    for split in ("train", "val", "test"):
        mask = graph[f"{split}_mask"]
        expected = log_loss(graph.y[mask], logits[mask].softmax(-1), labels=[0, 1, 2])
        assert scores[f"{split}_loss"] == pytest.approx(expected, rel=1e-6)
        expected = accuracy_score(graph.y[mask], logits[mask].argmax(-1))
        assert scores[f"{split}_metric"] == pytest.approx(expected)


def test_tasks_agree_with_scikit_learn(graph: Data) -> None:
    logits = torch.randn(graph.num_nodes, 5)
    graph.y = (torch.rand(graph.num_nodes, 5) < 0.4).float()
    scores = evaluate(Fixed(logits), graph)
    for split in ("train", "val", "test"):
        mask = graph[f"{split}_mask"]
        expected = roc_auc_score(graph.y[mask], logits[mask])
        assert scores[f"{split}_metric"] == pytest.approx(expected, rel=1e-5)
        losses = [log_loss(graph.y[mask, t], logits[mask, t].sigmoid()) for t in range(5)]
        assert scores[f"{split}_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_leaves_mode_data_and_gradients_alone(
    graph: Data, training: bool, moved: list[Data]
) -> None:
    model = Fixed(torch.randn(graph.num_nodes, 3)).train(training)
    evaluate(model, graph)
    assert model.training is training
    assert [other is graph for other in moved] == [False]
    assert model.logits.grad is None


def test_mode_comes_back_after_an_error(graph: Data) -> None:
    class Broken(Fixed):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            raise ValueError("8 features, expected 9")

    model = Broken(torch.zeros(1)).train()
    with pytest.raises(ValueError, match="8 features"):
        evaluate(model, graph)
    assert model.training


def test_a_model_without_parameters_works(graph: Data) -> None:
    class Features(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return x[:, :3]

    assert evaluate(Features(), graph)["test_metric"] > 0.4


def test_all_metrics_of_the_task_are_there(
    graph: Data, make_model: Callable[[], nn.Module]
) -> None:
    scores = evaluate(make_model(), graph)
    whats = ("loss", "metric", "accuracy", "micro_f1", "macro_f1")
    assert set(scores) == {
        f"{split}_{what}" for split in ("train", "val", "test") for what in whats
    }
    assert scores["val_metric"] == scores["val_accuracy"]
    task = NodeTask(labels="multiclass", metric="macro_f1")
    assert evaluate(make_model(), graph, task=task)["val_metric"] == scores["val_macro_f1"]


def parts(graph: Data, count: int) -> list[Data]:
    """The graph in pieces, each with the masks of its own nodes."""
    pieces = []
    for nodes in torch.arange(graph.num_nodes).tensor_split(count):
        part = graph.clone()
        own = torch.zeros(graph.num_nodes, dtype=torch.bool).index_fill(0, nodes, True)
        for split in ("train", "val", "test"):
            part[f"{split}_mask"] = graph[f"{split}_mask"] & own
        pieces.append(part)
    return pieces


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_batches_add_up_to_the_whole(graph: Data, metric: Any) -> None:
    model = Fixed(torch.randn(graph.num_nodes, 3))
    task = NodeTask(labels="multiclass", metric=metric)
    whole = evaluate(model, graph, task=task)
    for batches in (parts(graph, 7), {split: [graph] for split in ("train", "val", "test")}):
        assert evaluate(model, task=task, batches=batches) == pytest.approx(whole, rel=1e-6)


def test_the_task_of_batches_is_guessed(graph: Data) -> None:
    model = Fixed(torch.randn(graph.num_nodes, 3))
    assert evaluate(model, batches=[graph]) == evaluate(model, graph)


def test_loaders_are_always_asked_for_the_same_draws(graph: Data) -> None:
    class Told(list[Data]):
        epochs: ClassVar[list[int]] = []

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    task, model = NodeTask(labels="multiclass"), Fixed(torch.randn(graph.num_nodes, 3))
    for _ in range(2):
        evaluate(model, task=task, batches=Told([graph]))
    assert Told.epochs == [0, 0]


def test_nothing_to_evaluate_is_an_error(graph: Data) -> None:
    model, task = Fixed(torch.zeros(1, 3)), NodeTask(labels="multiclass")
    with pytest.raises(ValueError, match="'data' or 'batches' must be given"):
        evaluate(model)
    with pytest.raises(ValueError, match="'eval_batches' gave no batch"):
        evaluate(model, task=task, batches=[])
    with pytest.raises(ValueError, match="no batch in list"):
        evaluate(model, batches=[])
