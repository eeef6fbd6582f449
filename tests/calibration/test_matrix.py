from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression

from graphattn.calibration import MatrixScaler


def test_starts() -> None:
    logits = torch.randn(5, 3)
    torch.testing.assert_close(MatrixScaler(3)(logits), logits)
    published = MatrixScaler(3, published=True)
    assert bool((published.linear.weight == 1).all())
    assert bool((published.linear.bias == 1).all())
    torch.testing.assert_close(published(logits).softmax(dim=1), torch.full((5, 3), 1 / 3))


def test_without_a_penalty_it_is_a_logistic_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    y = (logits.roll(1, dims=1) + torch.randn(logits.shape, generator=generator)).argmax(dim=1)
    mask = torch.ones(200, dtype=torch.bool)
    reference = LogisticRegression(C=float("inf"), tol=1e-10).fit(logits.numpy(), y.numpy())
    expected = torch.from_numpy(reference.predict_proba(logits.numpy()))
    for published in (False, True):
        scaler = MatrixScaler(
            3, off_diagonal=0, intercept=0, published=published, lr=0.1, max_epochs=700
        )
        found = scaler.fit(logits, y, val_mask=mask)(logits).softmax(dim=1).detach()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
