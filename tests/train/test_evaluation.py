from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.train import evaluate
from graphattn.train.evaluation import metric_name, node_loss, node_metric, predict


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


def test_tasks_with_one_kind_of_label_are_left_out() -> None:
    y = torch.tensor([[0.0, 1, 0], [0, 1, 1], [0, 1, 1]])
    out = torch.tensor([[0.3, 0.1, 0.5], [0.2, 0.9, 0.9], [0.1, 0.4, 0.2]])
    assert node_metric(out, y).item() == pytest.approx(0.5)
    assert node_metric(out[:, :2], y[:, :2]).isnan()


def test_loss_of_tasks_takes_labels_of_another_float_type() -> None:
    y = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    assert node_loss(torch.zeros(2, 1), y).item() == pytest.approx(np.log(2))


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


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (torch.zeros(4, 1, dtype=torch.long), r"\[4, 1\] and torch.int64"),
        (torch.zeros(4), r"\[4\] and torch.float32"),
        (torch.zeros(4, dtype=torch.int32), r"\[4\] and torch.int32"),
    ],
)
def test_labels_of_no_known_form_are_an_error(y: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=f"'data.y' must be .*{text}"):
        metric_name(y)


def test_edge_attributes_reach_the_model(graph: Data) -> None:
    calls: list[dict[str, Tensor]] = []

    def model(x: Tensor, edge_index: Tensor, **rest: Tensor) -> Tensor:
        calls.append(rest)
        return x

    predict(model, graph)  # type: ignore[arg-type]
    graph.edge_attr = torch.ones(graph.num_edges, 2)
    predict(model, graph)  # type: ignore[arg-type]
    assert calls[0] == {}
    assert calls[1]["edge_attr"] is graph.edge_attr


def test_a_model_of_pyg_is_evaluated(graph: Data, make_model: Callable[[], nn.Module]) -> None:
    assert set(evaluate(make_model(), graph)) == {
        f"{split}_{what}" for split in ("train", "val", "test") for what in ("loss", "metric")
    }
