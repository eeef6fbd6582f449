from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from itertools import pairwise

import pytest

from graphattn.train import TrainConfig, config


def test_importing_the_package_and_its_config_loads_no_torch() -> None:
    code = "import sys, graphattn.train.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainConfig().lr = 1.0  # type: ignore[misc]


def test_every_field_is_explained_below_it() -> None:
    (body,) = (
        n.body for n in ast.parse(inspect.getsource(config)).body if isinstance(n, ast.ClassDef)
    )
    explained = [
        field.target.id
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    ]
    assert explained == [f.name for f in fields(TrainConfig)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", float("nan")),
        ("weight_decay", -1e-4),
        ("weight_decay", float("inf")),
        ("l2", -1.0),
        ("checkpoint_seconds", -0.1),
        ("max_epochs", 0),
        ("patience", -3),
        ("monitor", "acc"),
        ("metric", "auc"),
        ("task", "regression"),
        ("optimizer", "adagrad"),
        ("schedule", "linear"),
        ("eval_every", 0),
        ("clip_norm", -1.0),
        ("label_smoothing", 1.5),
        ("momentum", -0.1),
        ("warmup_epochs", -1),
        ("accelerator", "tpu"),
        ("precision", "16-mixed"),
    ],
)
def test_a_value_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"'{field}' must .*, got {value!r}"):
        TrainConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", "0.1"),
        ("lr", True),
        ("max_epochs", 10.0),
        ("max_epochs", True),
        ("patience", None),
        ("compile", 1),
        ("deterministic", "yes"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"'{field}' must be .*, got {value!r}"):
        TrainConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [[("att", 0.1)], (("att",),), ("att", 0.1), ((0.1, "att"),), 0.1, "att"]
)
def test_weight_decays_are_pairs_of_pattern_and_number(value: object) -> None:
    text = re.escape(f"'weight_decays' must be pairs (pattern, decay), got {value!r}")
    with pytest.raises(TypeError, match=text):
        TrainConfig(weight_decays=value)  # type: ignore[arg-type]


def test_weight_decays_are_numbers_of_at_least_zero() -> None:
    with pytest.raises(ValueError, match=r"'weight_decays' must be finite and 0 or more, got -1.0"):
        TrainConfig(weight_decays=(("att", -1.0),))
    with pytest.raises(TypeError, match=r"'weight_decays' must be a number, got '0.1'"):
        TrainConfig(weight_decays=(("att", "0.1"),))  # type: ignore[arg-type]


def test_the_bounds_themselves_are_allowed() -> None:
    TrainConfig(weight_decay=0, l2=0.0, checkpoint_seconds=0, max_epochs=1, patience=1)


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"'momentum' is for 'sgd', got 0.9 with 'adam'"):
        TrainConfig(momentum=0.9)
    with pytest.raises(ValueError, match=r"'warmup_epochs' must be at most 'max_epochs', 3, got 4"):
        TrainConfig(warmup_epochs=4, max_epochs=3)
