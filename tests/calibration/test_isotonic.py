from __future__ import annotations

import torch
from sklearn.isotonic import isotonic_regression

from graphattn.calibration import IsotonicScaler


def test_values_at_validation_nodes_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (50,), generator=generator)
    mask = torch.arange(50) < 30
    scaler = IsotonicScaler().fit(logits, y, val_mask=mask)
    probs = logits[mask].softmax(dim=1)
    flat, order = probs.flatten().sort()
    is_class = torch.eye(3, dtype=torch.float64)[y[mask]].flatten()[order]
    expected = torch.from_numpy(isotonic_regression(is_class.numpy())) + 1e-9 * flat
    found = scaler(logits[mask]).exp().flatten()[order]
    torch.testing.assert_close(found, expected)


def test_order_of_classes_stays_in_float32() -> None:
    # All on one step of the map, which alone would make them equal.
    logits = torch.tensor([[0.1, 0.3, 0.2]]).repeat(6, 1)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    scaler = IsotonicScaler().fit(logits, y, val_mask=torch.ones(6, dtype=torch.bool))
    out = scaler(logits)
    assert out.dtype == torch.float64
    assert torch.equal(out.argsort(dim=1), logits.argsort(dim=1))
    torch.testing.assert_close(out.softmax(dim=1), torch.full((6, 3), 1 / 3, dtype=torch.float64))
