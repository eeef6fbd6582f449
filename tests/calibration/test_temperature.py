from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphattn.calibration import TemperatureScaler


@pytest.fixture
def overfitted() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits that know the first 100 nodes by heart, and are far too sure of the others."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(4, (400,), generator=generator)
    logits = 6 * torch.randn(400, 4, generator=generator, dtype=torch.double)
    logits[torch.arange(400), y] += 6
    train = torch.arange(400) < 100
    logits[train] /= 6
    logits[train, y[train]] += 10
    return logits, y, train, (torch.arange(400) >= 100) & (torch.arange(400) < 250)


def test_finds_the_best_temperature(overfitted: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    logits, y, train, val = overfitted
    scaler = TemperatureScaler().fit(logits, y, train_mask=train, val_mask=val)
    best = minimize_scalar(
        lambda t: float(cross_entropy(logits[val] / t, y[val])), bounds=(0.1, 50), method="bounded"
    )
    assert best.x > 2
    assert scaler.temperature.item() == pytest.approx(best.x, rel=1e-3)
    torch.testing.assert_close(scaler(logits), logits / scaler.temperature)


def test_the_published_form_stops_by_training_nodes(
    overfitted: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    logits, y, train, val = overfitted
    scaler = TemperatureScaler(published=True).fit(logits, y, train_mask=train, val_mask=val)
    # Any other temperature is worse for nodes that are known by heart.
    assert scaler.temperature.item() == pytest.approx(1.0, abs=0.02)
    twin = TemperatureScaler().double()
    twin.load_state_dict(scaler.state_dict())
    assert torch.equal(twin(logits), scaler(logits))
