from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from graphattn.calibration import (
    TemperatureScaler,
    accuracy,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    kde_calibration_error,
    measure,
    negative_log_likelihood,
)

OF_PROBABILITIES = (
    accuracy,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    kde_calibration_error,
)


def sample(seed: int = 0, n: int = 400, C: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, C, generator=generator, dtype=torch.float64)
    y = torch.multinomial((logits / 2).softmax(1), 1, generator=generator).squeeze(1)
    return logits, y, torch.rand(n, generator=generator) < 0.6


@pytest.mark.parametrize("num_bins", [2, 15, 40])
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_ece_against_torchmetrics(num_bins: int, norm: str) -> None:
    logits, y, mask = sample()
    p = logits.softmax(1)
    theirs = multiclass_calibration_error(p[mask], y[mask], 5, n_bins=num_bins, norm=norm)
    ours = expected_calibration_error(p, y, num_bins, mask=mask, norm=norm)
    assert ours == pytest.approx(float(theirs), abs=1e-7)


def test_torchmetrics_closes_bins_on_the_left_and_sets_one_apart() -> None:
    # One on a border of two bins, and one at the end.
    p = torch.tensor([[0.5, 0.3, 0.2], [0.45, 0.35, 0.2]], dtype=torch.float64)
    y = torch.tensor([0, 1])
    theirs = float(multiclass_calibration_error(p, y, 3, n_bins=2))
    assert expected_calibration_error(p, y, 2) == pytest.approx(theirs)
    assert expected_calibration_error(p, y, 2, closed="right") != pytest.approx(theirs)
    p = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0]], dtype=torch.float64)
    theirs = float(multiclass_calibration_error(p, y, 3, n_bins=2))
    assert theirs == pytest.approx(0.45)
    assert expected_calibration_error(p, y, 2) == pytest.approx(0.45 + 0.0, abs=1e-12)
    y = torch.tensor([1, 0])
    theirs = float(multiclass_calibration_error(p, y, 3, n_bins=2))
    assert theirs == pytest.approx(0.5 + 0.05)
    assert expected_calibration_error(p, y, 2) == pytest.approx(0.45)


def test_classwise_error_against_torchmetrics() -> None:
    logits, y, mask = sample()
    p = logits.softmax(1)
    theirs = [
        float(binary_calibration_error(p[mask, k], (y[mask] == k).long(), n_bins=15))
        for k in range(5)
    ]
    ours = classwise_calibration_error(p, y, mask=mask)
    assert ours == pytest.approx(np.mean(theirs), abs=1e-7)


def test_classes_that_nobody_has_count() -> None:
    logits, y, _ = sample(C=2)
    wider = torch.cat([logits.softmax(1), torch.zeros(len(y), 2)], dim=1)
    half = classwise_calibration_error(logits.softmax(1), y) / 2
    assert classwise_calibration_error(wider, y) == pytest.approx(half)


def test_likelihood_brier_and_accuracy_against_sklearn() -> None:
    logits, y, mask = sample()
    p, chosen = logits.softmax(1), (y[mask], logits.softmax(1)[mask])
    assert negative_log_likelihood(logits, y, mask=mask) == pytest.approx(log_loss(*chosen))
    theirs = brier_score_loss(*chosen, labels=range(5), scale_by_half=False)
    assert brier_score(p, y, mask=mask) == pytest.approx(theirs)
    assert accuracy(p, y, mask=mask) == accuracy_score(y[mask], p[mask].argmax(1))


def test_kde_error_is_near_the_binned_one() -> None:
    logits, y, _ = sample(n=20_000)
    p = logits.softmax(1)
    assert kde_calibration_error(p, y) == pytest.approx(expected_calibration_error(p, y), abs=0.01)


def test_measure_is_all_of_them() -> None:
    logits, y, mask = sample()
    p = logits.softmax(1)
    assert measure(logits, y, mask, num_bins=12) == pytest.approx(
        {
            "accuracy": accuracy(p, y, mask=mask),
            "confidence": float(p[mask].amax(1).mean()),
            "nll": negative_log_likelihood(logits, y, mask=mask),
            "brier": brier_score(p, y, mask=mask),
            "ece": expected_calibration_error(p, y, 12, mask=mask),
            "ece_right": expected_calibration_error(p, y, 12, mask=mask, closed="right"),
            "ece_mass": expected_calibration_error(p, y, 12, mask=mask, bins="mass"),
            "classwise_ece": classwise_calibration_error(p, y, 12, mask=mask),
            "kde_ece": kde_calibration_error(p, y, mask=mask),
        }
    )


def test_half_precision_is_measured_in_full() -> None:
    logits, y, _ = sample()
    half = logits.half()
    assert measure(half, y) == measure(half.float(), y)
    assert measure(half, y)["ece"] == pytest.approx(measure(logits, y)["ece"], abs=0.01)


def test_all_equal_logits() -> None:
    found = measure(torch.zeros(6, 3), torch.tensor([0, 0, 0, 1, 1, 2]))
    assert found["accuracy"] == 0.5
    assert found["ece"] == found["ece_right"] == pytest.approx(0.5 - 1 / 3)
    assert found["nll"] == pytest.approx(math.log(3))
    assert found["brier"] == pytest.approx(2 / 3)
    assert math.isnan(found["kde_ece"])


def test_nothing_has_gradients() -> None:
    logits, y, mask = sample()
    scaler = TemperatureScaler(max_epochs=1).fit(logits, y, val_mask=mask)
    calibrated = scaler(logits)
    assert calibrated.requires_grad
    assert 0 < measure(calibrated, y)["ece"] < 1
    assert 0 < expected_calibration_error(calibrated.softmax(1), y) < 1


@pytest.mark.parametrize("value_of", OF_PROBABILITIES)
def test_logits_are_not_probabilities(value_of: object) -> None:
    logits, y, _ = sample()
    with pytest.raises(ValueError, match="'probabilities' must be non-negative"):
        value_of(logits, y)


def test_probabilities_are_not_logits() -> None:
    logits, y, _ = sample()
    for value_of in (measure, negative_log_likelihood):
        with pytest.raises(ValueError, match="'logits' look like probabilities"):
            value_of(logits.softmax(1), y)
        with pytest.raises(ValueError, match="'logits' must be finite"):
            value_of(logits * torch.inf, y)


def test_fewer_than_two_bins() -> None:
    logits, y, _ = sample()
    for value_of in (expected_calibration_error, classwise_calibration_error):
        with pytest.raises(ValueError, match="'num_bins' must be at least 2, got 1"):
            value_of(logits.softmax(1), y, 1)
    with pytest.raises(ValueError, match="'num_bins' must be at least 2, got 0"):
        measure(logits, y, num_bins=0)


def test_empty_mask() -> None:
    logits, y, mask = sample()
    for value_of in OF_PROBABILITIES:
        with pytest.raises(ValueError, match="'mask' must have at least one node, got none"):
            value_of(logits.softmax(1), y, mask=mask & ~mask)
    with pytest.raises(ValueError, match="'mask' must have at least one node, got none"):
        measure(logits, y, mask & ~mask)
