from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphattn.calibration import EnsembleScaler


def case(seed: int, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of which a share is nothing but noise, so that all three parts are of use."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (200,), generator=generator)
    logits = 6 * torch.eye(4, dtype=torch.float64)[y]
    logits += torch.randn(200, 4, generator=generator, dtype=torch.float64)
    wrong = torch.rand(200, generator=generator) < noise
    logits[wrong] = logits[wrong].flip(1)
    return logits, y, torch.ones(200, dtype=torch.bool)


def test_no_other_weights_are_better() -> None:
    for seed, noise in ((0, 0.2), (1, 0.5), (2, 0.0)):
        logits, y, mask = case(seed, noise)
        scaler = EnsembleScaler(lr=0.1, max_epochs=200).fit(logits, y, val_mask=mask)
        found = cross_entropy(scaler(logits), y)
        weights = scaler.weights.clone()
        assert bool((weights >= 0).all())
        torch.testing.assert_close(weights.sum(), torch.ones((), dtype=torch.float64))
        steps = torch.linspace(0, 1, 11).tolist()
        for first in steps:
            for second in steps:
                if first + second <= 1:
                    others = [first, second, 1 - first - second]
                    scaler.weights.copy_(torch.tensor(others, dtype=torch.float64))
                    assert cross_entropy(scaler(logits), y) > found - 1e-9


def test_is_the_mixture_of_its_parts() -> None:
    logits, y, mask = case(0, 0.2)
    scaler = EnsembleScaler(lr=0.1, max_epochs=200).fit(logits, y, val_mask=mask)
    tempered = (logits / scaler.scaler.temperature).softmax(dim=1)
    first, second, third = scaler.weights
    expected = first * tempered + second * logits.softmax(dim=1) + third / 4
    torch.testing.assert_close(scaler(logits).exp(), expected)
    assert 0.05 < third < 0.5


def test_probabilities_that_underflow() -> None:
    logits, y, mask = case(0, 0.2)
    scaler = EnsembleScaler(published=True, max_epochs=50).fit(logits * 1e5, y, val_mask=mask)
    out = scaler(logits * 1e5)
    assert bool(torch.isfinite(out).all())
    # One in five is wrong, which only the uniform part can say.
    third = float(scaler.weights[2])
    assert 0.2 < third < 0.35


def test_order_of_classes_stays() -> None:
    logits, y, mask = case(1, 0.4)
    out = EnsembleScaler(lr=0.1, max_epochs=200).fit(logits, y, val_mask=mask)(logits).detach()
    for row, before in zip(out, logits, strict=True):
        ordered = row[before.argsort()].tolist()
        assert all(low <= high for low, high in pairwise(ordered))
