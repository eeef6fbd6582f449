from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor
from torch.nn import functional

from graphattn.tasks import NodeTask
from graphattn.tasks.scores import Scores

Expected = Mapping[str, Callable[[Any, Any, Any], float]]  # of labels, answers, outputs

MULTICLASS: Expected = {
    "accuracy": lambda y, answer, out: sk.accuracy_score(y, answer),
    "micro_f1": lambda y, answer, out: sk.f1_score(y, answer, average="micro"),
    "macro_f1": lambda y, answer, out: sk.f1_score(y, answer, average="macro"),
    "roc_auc": lambda y, answer, out: np.mean(
        [sk.roc_auc_score(y == c, out[:, c]) for c in range(out.shape[1])]
    ),
    "average_precision": lambda y, answer, out: np.mean(
        [sk.average_precision_score(y == c, out[:, c]) for c in range(out.shape[1])]
    ),
}
BINARY: Expected = {
    "roc_auc": lambda y, answer, out: sk.roc_auc_score(y, out),
    "average_precision": lambda y, answer, out: sk.average_precision_score(y, out),
    "accuracy": lambda y, answer, out: sk.accuracy_score(y, answer),
    "f1": lambda y, answer, out: sk.f1_score(y, answer),
    "micro_f1": lambda y, answer, out: sk.f1_score(y, answer, average="micro"),
    "macro_f1": lambda y, answer, out: sk.f1_score(y, answer, average="macro"),
}
MULTILABEL: Expected = {
    "roc_auc": lambda y, answer, out: sk.roc_auc_score(y, out),
    "average_precision": lambda y, answer, out: sk.average_precision_score(y, out),
    "accuracy": lambda y, answer, out: float((y == answer).float().mean()),
    "micro_f1": lambda y, answer, out: sk.f1_score(y, answer, average="micro"),
    "macro_f1": lambda y, answer, out: sk.f1_score(y, answer, average="macro"),
}


def examples(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels and answers; logits often lie in ``[0, 1]``, where they are no probability."""
    generator = torch.Generator().manual_seed(3)
    width = {"multiclass": (4,), "binary": (), "multilabel": (3,)}[kind]
    out = 0.6 * torch.rand((50, *width), generator=generator) - 0.1
    out[25:] = 3 * torch.randn((25, *width), generator=generator)
    if kind == "multiclass":
        return out, torch.randint(4, (50,), generator=generator), out.argmax(1)
    return out, (torch.rand(out.shape, generator=generator) < 0.4).long(), (out > 0).long()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("multiclass", MULTICLASS), ("binary", BINARY), ("multilabel", MULTILABEL)],
)
@pytest.mark.parametrize("cuts", [[], [25], [1, 1, 30]])
def test_agrees_with_scikit_learn_however_it_is_cut(
    kind: Any, expected: Expected, cuts: list[int]
) -> None:
    out, y, answer = examples(kind)
    task = NodeTask(labels=kind)
    assert set(expected) == set(task.kind.metrics)
    scores = Scores(task, expected)
    for rows in torch.arange(50).tensor_split(cuts):
        scores.update(out[rows], y[rows])
    values = scores.compute()
    for name, metric in expected.items():
        assert values[name].item() == pytest.approx(metric(y, answer, out), rel=1e-5), name
    loss = (
        functional.cross_entropy(out, y)
        if kind == "multiclass"
        else functional.binary_cross_entropy_with_logits(out, y.float())
    )
    assert values["loss"].item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("missing", [-1.0, float("nan")])
def test_missing_answers_change_nothing(missing: float) -> None:
    out, y, _ = examples("multilabel")
    hidden = torch.rand(y.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    task = NodeTask(labels="multilabel")
    values = []
    for lie in (0.0, 50.0):  # an output that is far off where nobody knows better
        scores = Scores(task, task.metrics)
        scores.update(out.masked_fill(hidden, lie), y.float().masked_fill(hidden, missing))
        values.append(scores.compute())
    assert values[0] == values[1]
    right = (out > 0).long() == y
    assert values[0]["accuracy"].item() == pytest.approx(right[~hidden].float().mean().item())


def test_no_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="no batch was given"):
        Scores(NodeTask(labels="binary"), []).compute()


@pytest.mark.parametrize("kind", ["multiclass", "binary", "multilabel"])
def test_after_a_reset_nothing_is_left(kind: Any) -> None:
    out, y, _ = examples(kind)
    task = NodeTask(labels=kind)
    scores, fresh = (Scores(task, task.kind.metrics) for _ in range(2))
    scores.update(-out, y)
    scores.compute()
    scores.reset()
    for each in (scores, fresh):
        each.update(out[:30], y[:30])
    assert scores.compute() == fresh.compute()
