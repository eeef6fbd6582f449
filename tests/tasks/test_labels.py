from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from graphattn.tasks.labels import LABELS

NAN = math.nan


@pytest.mark.parametrize(
    ("kind", "y", "expected"),
    [
        ("multiclass", torch.tensor([[2], [-1]]), [2, -1]),
        ("multiclass", torch.tensor([1, 0], dtype=torch.int32), [1, 0]),
        ("binary", torch.tensor([True, False]), [1, 0]),
        ("binary", torch.tensor([[1.0], [0.0]]), [1, 0]),
        ("binary", torch.tensor([-1, 1], dtype=torch.int8), [-1, 1]),
        ("multilabel", torch.tensor([[True, False]]), [[1, 0]]),
        ("multilabel", torch.tensor([[0.25, -1.0]]), [[0.25, -1]]),
    ],
)
def test_forms(kind: str, y: Tensor, expected: list[float]) -> None:
    LABELS[kind].check(y)
    assert LABELS[kind].form(y).tolist() == expected


@pytest.mark.parametrize(
    ("kind", "y", "text"),
    [
        ("multiclass", torch.tensor([0.0]), r"as integers of shape \[M\].*\[1\] and torch.float32"),
        ("multiclass", torch.zeros(2, 2, dtype=torch.long), r"\[2, 2\]"),
        (
            "multiclass",
            torch.tensor([1, -2]),
            r"classes\) \(-1 if unknown\).* got -2 in row 1 \(1 ",
        ),
        ("binary", torch.tensor([0, 2, 3]), r"\[0, 1\] \(-1 if unknown\) .*got 2 in row 1 \(2 "),
        ("binary", torch.tensor([[0.0, 1.0]]), r"shape \[M\] for 'binary', got \[1, 2\]"),
        ("binary", torch.tensor([-0.5]), r"\(-1, NaN if unknown\) .*got -0.5 in row 0"),
        ("multilabel", torch.tensor([[0, 1], [1, 7]]), "got 7 in row 1"),
        ("multilabel", torch.tensor([0, 1]), r"shape \[M, T\] for 'multilabel', got \[2\]"),
    ],
)
def test_labels_of_another_kind_are_an_error(kind: str, y: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=f"'y' must .*{text}"):
        LABELS[kind].check(y)


@pytest.mark.parametrize(
    ("kind", "y", "known"),
    [
        ("multiclass", [-1, 0, 3], [False, True, True]),
        ("binary", [NAN, -1.0, 0.0], [False, False, True]),
        ("multilabel", [[NAN, 1.0], [-1.0, 0.0]], [[False, True], [False, True]]),
    ],
)
def test_missing_labels(kind: str, y: list[float], known: list[bool]) -> None:
    labels = torch.tensor(y)
    assert LABELS[kind].known(labels).tolist() == known


def test_missing_answers_are_left_out_of_the_loss() -> None:
    kind = LABELS["multilabel"]
    out = torch.randn(3, 2, requires_grad=True)
    y = torch.tensor([[1.0, NAN], [NAN, 0.0], [0.0, 1.0]])
    known = torch.tensor([[True, False], [False, True], [True, True]])
    loss = kind.loss(out, y)
    expected = functional.binary_cross_entropy_with_logits(out[known], y[known])
    torch.testing.assert_close(loss, expected)
    (grad,) = torch.autograd.grad(loss, out)
    assert ((grad == 0) == ~known).all()
    assert kind.count(y) == 4


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_two_logits_of_a_binary_model_are_those_of_two_classes(smoothing: float) -> None:
    out, y = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    binary = LABELS["binary"]
    logit = binary.fit_output(out, 1)
    assert logit is not None
    expected = functional.cross_entropy(out, y, label_smoothing=smoothing)
    torch.testing.assert_close(binary.loss(logit, y, smoothing=smoothing), expected)
    torch.testing.assert_close(LABELS["multiclass"].loss(out, y, smoothing=smoothing), expected)


@pytest.mark.parametrize(
    ("kind", "shape", "width", "fits"),
    [
        ("multiclass", (4, 3), 3, True),
        ("multiclass", (4, 5), 3, True),
        ("multiclass", (4, 2), 3, False),
        ("multiclass", (4, 1), 1, False),  # one logit can't tell classes apart
        ("multiclass", (4,), 2, False),
        ("binary", (4,), 1, True),
        ("binary", (4, 1), 1, True),
        ("binary", (4, 2), 1, True),
        ("binary", (4, 3), 1, False),
        ("multilabel", (4, 3), 3, True),
        ("multilabel", (4, 4), 3, False),
        ("multilabel", (4,), 1, False),
    ],
)
def test_outputs_that_fit(kind: str, shape: tuple[int, ...], width: int, fits: bool) -> None:
    assert (LABELS[kind].fit_output(torch.zeros(shape), width) is not None) is fits


def test_a_metric_of_other_labels_is_named() -> None:
    with pytest.raises(ValueError, match="unknown metric for 'multiclass' labels 'f1'"):
        LABELS["multiclass"].check_metric("f1")
