from __future__ import annotations

import torch

from graphattn.calibration import DirichletScaler


def test_starts() -> None:
    logits = torch.randn(5, 3)
    torch.testing.assert_close(DirichletScaler(3)(logits), logits.log_softmax(dim=1))
    torch.manual_seed(0)
    published = DirichletScaler(3, published=True)
    assert float(published.linear.weight.detach().abs().max()) <= 3**-0.5
    assert bool((published.linear.weight != 0).all())


def test_what_is_added_to_a_row_of_logits_does_not_matter() -> None:
    torch.manual_seed(0)
    scaler = DirichletScaler(3, published=True).double()
    logits = torch.randn(5, 3, dtype=torch.float64)
    shifted = logits + torch.randn(5, 1, dtype=torch.float64)
    torch.testing.assert_close(scaler(shifted), scaler(logits))


def test_reaches_the_map_that_made_the_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5_000, 3, generator=generator, dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, 0.0], [0.0, 0.0, 0.5]]).double()
    probs = (logits.log_softmax(dim=1) @ weight.t()).softmax(dim=1)
    y = torch.multinomial(probs, 1, generator=generator).squeeze(1)
    mask = torch.ones(len(y), dtype=torch.bool)
    scaler = DirichletScaler(3, off_diagonal=0, intercept=0, lr=0.05, max_epochs=300)
    found = scaler.fit(logits, y, val_mask=mask)(logits).softmax(dim=1).detach()
    assert float((found - probs).abs().mean()) < 0.01
