from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphattn.calibration import TemperatureScaler
from graphattn.calibration.calibrator import check_logits

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0, 0.5]])
Y = torch.tensor([0, 1, 2, 1])
TRAIN, VAL = torch.tensor([True, False, False, False]), torch.tensor([False, True, True, False])


def fit(**changed: Any) -> Any:
    given = {"logits": LOGITS, "y": Y, "train_mask": TRAIN, "val_mask": VAL} | changed
    return TemperatureScaler(published=True, max_epochs=5).fit(**given)


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"logits": LOGITS.log()}, ValueError, "'logits' must be finite, got .* in row 0"),
        ({"logits": LOGITS.long()}, TypeError, "floating-point tensor, got torch.int64"),
        ({"logits": LOGITS[:, :1]}, ValueError, r"at least two classes, got \[4, 1\]"),
        ({"logits": LOGITS.softmax(1)}, ValueError, "'logits' look like probabilities"),
        ({"y": Y.float()}, ValueError, r"'y' must hold classes, .* \[4\], got \[4\] torch.float32"),
        ({"y": torch.tensor([0, 3, 2, 1])}, ValueError, r"'y' must lie in \[0, 3\) on 'val_mask'"),
        ({"y": torch.tensor([-1, 1, 2, 1])}, ValueError, "on 'train_mask', got -1"),
        ({"val_mask": VAL & False}, ValueError, "'val_mask' must have at least one node"),
        ({"train_mask": VAL}, ValueError, "must not overlap, got 2 node"),
        ({"val_mask": VAL.long()}, TypeError, "'val_mask' must be a tensor of bool"),
        ({"val_mask": VAL[:2]}, ValueError, r"'val_mask' must have shape \[4\], got \[2\]"),
    ],
)
def test_bad_input(changed: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        fit(**changed)


def test_labels_of_other_nodes_may_be_anything() -> None:
    expected = fit().temperature
    assert torch.equal(fit(y=torch.tensor([0, 1, 2, -1])).temperature, expected)
    assert not torch.equal(fit(train_mask=None).temperature, torch.ones(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_computes_in_float32_at_least(dtype: torch.dtype) -> None:
    scaler = fit(logits=LOGITS.to(dtype))
    wide = torch.promote_types(dtype, torch.float32)
    assert scaler.temperature.dtype == scaler(LOGITS.to(dtype)).dtype == wide


def test_a_second_fit_starts_anew_and_the_mode_stays() -> None:
    scaler, other = fit().eval(), LOGITS.flip(0)
    scaler.fit(other, Y, train_mask=TRAIN, val_mask=VAL)
    assert not scaler.training
    assert torch.equal(scaler.temperature, fit(logits=other).temperature)


class Recording(TemperatureScaler):
    """Keeps what decides when to stop."""

    def __init__(self, losses: Callable[[int], float], **settings: Any) -> None:
        super().__init__(published=True, **settings)
        self.losses, self.steps = losses, 0

    def loss(self, calibrated: Tensor, y: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.steps += 1
            return super().loss(calibrated, y)
        return torch.tensor(self.losses(self.steps))


@pytest.mark.parametrize(
    ("losses", "steps", "kept"),
    [
        (lambda step: 1.0, 20, 20),  # equal ones count as better
        (lambda step: float(step), 4, 1),
        (lambda step: abs(step - 6.0), 9, 6),
    ],
)
def test_the_last_best_step_is_kept(losses: Callable[[int], float], steps: int, kept: int) -> None:
    masks = {"train_mask": TRAIN, "val_mask": VAL}
    scaler = Recording(losses, max_epochs=20, patience=3).fit(LOGITS, Y, **masks)
    assert scaler.steps == steps
    whole = TemperatureScaler(published=True, max_epochs=kept).fit(LOGITS, Y, val_mask=VAL)
    torch.testing.assert_close(scaler.temperature, whole.temperature)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": 0.0}, "'lr' must be finite and above 0"),
        ({"weight_decay": -1.0}, "'weight_decay' must be finite and 0 or more"),
        ({"max_epochs": 0}, "'max_epochs' must be at least 1"),
        ({"patience": 0}, "'patience' must be at least 1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TemperatureScaler(**settings)


def test_no_nodes_are_no_error() -> None:
    assert check_logits(LOGITS[:0]).shape == (0, 3)
