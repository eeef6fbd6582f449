from __future__ import annotations

import pytest
import torch
from torch import nn

from graphattn.calibration import DirichletScaler, MatrixScaler


@pytest.mark.parametrize("kind", [DirichletScaler, MatrixScaler])
def test_penalty_by_hand(kind: type[MatrixScaler | DirichletScaler]) -> None:
    scaler = kind(3, off_diagonal=6.0, intercept=3.0)
    weight = torch.tensor([[9.0, 1.0, 0.0], [2.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    with torch.no_grad():
        scaler.linear.weight.copy_(weight)
        scaler.linear.bias.copy_(torch.tensor([1.0, 2.0, 0.0]))
    expected = 6 * (1 + 4) / (3 * 2) + 3 * (1 + 4) / 3
    assert scaler.penalty().item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", [DirichletScaler, MatrixScaler])
def test_a_strong_penalty_keeps_the_diagonal(kind: type[MatrixScaler | DirichletScaler]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 3, generator=generator)
    y = torch.randint(3, (60,), generator=generator)
    mask = torch.ones(60, dtype=torch.bool)
    off = []
    for strength in (1e-3, 1e3):
        scaler = kind(3, off_diagonal=strength, intercept=strength, max_epochs=100)
        weight = scaler.fit(logits, y, val_mask=mask).linear.weight.detach()
        off.append(float((weight - weight.diagonal().diag()).abs().max()))
    assert off[0] > 0.1
    assert off[1] < 0.01


def test_settings() -> None:
    with pytest.raises(ValueError, match="'off_diagonal' must be finite and 0 or more, got -1"):
        MatrixScaler(3, off_diagonal=-1)
    with pytest.raises(ValueError, match="'intercept' must be finite and 0 or more"):
        DirichletScaler(3, intercept=float("nan"))
    assert isinstance(MatrixScaler(3).linear, nn.Linear)
