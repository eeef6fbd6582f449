from __future__ import annotations

import json
from dataclasses import replace

import pytest

from graphattn.train import Report

REPORT = Report(
    name="gat/cora",
    seed=3,
    split="public",
    metric="accuracy",
    best_epoch=10,
    epochs=20,
    train_loss=0.1,
    train_metric=1.0,
    val_loss=0.3,
    val_metric=0.8,
    test_loss=1 / 3,
    test_metric=0.83,
    seconds=12.5,
    parameters=92373,
    device="cpu",
)


def test_goes_through_json_unchanged() -> None:
    report = replace(REPORT, extra={"mlp": 0.85})
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_keys_are_stable() -> None:
    assert list(REPORT.to_dict()) == [
        "name", "seed", "split", "metric", "best_epoch", "epochs", "train_loss", "train_metric",
        "val_loss", "val_metric", "test_loss", "test_metric", "seconds", "parameters", "device",
        "task", "metrics", "extra",
    ]  # fmt: skip


def test_extra_may_be_missing() -> None:
    values = REPORT.to_dict()
    del values["extra"]
    assert Report.from_dict(values) == REPORT


def test_an_unknown_key_is_an_error_with_the_nearest_known() -> None:
    with pytest.raises(ValueError, match=r"unknown key of a report 'val_acc'.*val_"):
        Report.from_dict({**REPORT.to_dict(), "val_acc": 1.0})


def test_a_missing_key_is_named() -> None:
    values = REPORT.to_dict()
    del values["seed"], values["device"]
    with pytest.raises(ValueError, match="lacks seed, device"):
        Report.from_dict(values)


def test_numbers_hold_all_but_the_time() -> None:
    assert replace(REPORT, seconds=1.0).numbers() == REPORT.numbers()
    assert replace(REPORT, test_loss=1.0).numbers() != REPORT.numbers()
    assert {"seconds", *REPORT.numbers()} == set(REPORT.to_dict())
