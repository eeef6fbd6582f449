from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graphattn.train.weights import check_weights, read_weights, write_weights


def test_goes_through_a_file_unchanged(tmp_path: Path) -> None:
    strided = torch.arange(6.0).view(2, 3).t()
    weights = {"a": strided, "b": torch.tensor(3), "c": torch.ones(2, dtype=torch.bfloat16)}
    write_weights(tmp_path / "w", weights)
    back = read_weights(tmp_path / "w")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_truncated_file_is_an_error(
    tmp_path: Path, weights: dict[str, Tensor], kept: int
) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(path, weights)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated"):
        read_weights(path)


def test_the_right_model_passes(weights: dict[str, Tensor]) -> None:
    check_weights(nn.Linear(2, 1), weights, source="w")
    check_weights(nn.LazyLinear(1), weights, source="w")


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Linear(3, 1), r"this Linear: 'weight' is \[1, 2\] in the file, \[1, 3\] in the model$"),
        (nn.Linear(2, 1, bias=False), "the model has no 'bias'$"),
        (nn.Sequential(nn.Linear(2, 1)), "no 'weight'.*'0.weight' is missing in the file"),
        (nn.Sequential(*[nn.Linear(2, 1)] * 9), "; and 15 more$"),
    ],
)
def test_another_model_is_an_error_that_says_what_differs(
    weights: dict[str, Tensor], model: nn.Module, text: str
) -> None:
    with pytest.raises(ValueError, match=f"^w holds weights of another model.*{text}"):
        check_weights(model, weights, source="w")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_parameter_that_is_not_finite_is_an_error(
    weights: dict[str, Tensor], value: float
) -> None:
    weights["weight"][0, 1] = value
    with pytest.raises(ValueError, match=r"^w must hold finite weights, but 'weight' has NaN"):
        check_weights(nn.Linear(2, 1), weights, source="w")


def test_a_buffer_may_be_infinite() -> None:
    model = nn.Linear(2, 1)
    model.register_buffer("mask", torch.full((2, 2), -torch.inf))
    check_weights(model, model.state_dict(), source="w")


@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.complex64])
def test_numbers_of_another_kind_are_an_error(
    weights: dict[str, Tensor], dtype: torch.dtype
) -> None:
    weights["weight"] = weights["weight"].to(dtype)
    with pytest.raises(
        ValueError, match=r"^w must hold 'weight' as torch\.strided, torch\.float32, got"
    ):
        check_weights(nn.Linear(2, 1), weights, source="w")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="must be a regular file"):
        read_weights(tmp_path / "model.safetensors")
