from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from graphattn.calibration import VectorScaler


def test_shares_of_classes_where_logits_say_nothing() -> None:
    # With constant logits the best probabilities are the shares, which need the offset or factors.
    logits = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64).repeat(10, 1)
    y = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2, 2])
    everything = torch.ones(10, dtype=torch.bool)
    scaler = VectorScaler(3, lr=0.1, max_epochs=500).fit(logits, y, val_mask=everything)
    found = scaler(logits).softmax(dim=1)[0].detach()
    torch.testing.assert_close(found, torch.tensor([0.2, 0.3, 0.5]).double(), atol=1e-5, rtol=0)
    # Factors alone can't tell the last two classes from each other.
    published = VectorScaler(3, lr=0.1, max_epochs=500, published=True).fit(
        logits, y, val_mask=everything
    )
    found = published(logits).softmax(dim=1)[0].detach()
    torch.testing.assert_close(found, torch.tensor([0.2, 0.4, 0.4]).double(), atol=1e-5, rtol=0)
    assert published.bias.tolist() == [1.0, 1.0, 1.0]


def test_two_classes_are_a_logistic_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(80, 2, generator=generator, dtype=torch.float64)
    y = (torch.rand(80, generator=generator) < (logits[:, 1] + 0.5).sigmoid()).long()
    everything = torch.ones(80, dtype=torch.bool)
    scaler = VectorScaler(2, lr=0.1, max_epochs=500).fit(logits, y, val_mask=everything)
    reference = LogisticRegression(C=float("inf"), tol=1e-10).fit(logits.numpy(), y.numpy())
    expected = torch.from_numpy(reference.predict_proba(logits.numpy()))
    found = scaler(logits).softmax(dim=1).detach()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_settings() -> None:
    with pytest.raises(ValueError, match="'num_classes' must be at least 2, got 1"):
        VectorScaler(1)
