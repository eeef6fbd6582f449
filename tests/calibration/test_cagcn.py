from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from graphattn.calibration import CaGCNScaler

EDGES = torch.tensor([[0, 1, 2, 0], [1, 0, 0, 2]])


def test_factors_are_those_of_the_form() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.float64)
    train_mask = torch.zeros(4, dtype=torch.bool)
    for original, offset in ((False, 1.0), (True, 1.1)):
        scaler = CaGCNScaler(3, original=original).double()
        with torch.no_grad():
            scaler.gcn.lin2.bias.fill_(0.7)
        out = scaler(logits, EDGES, train_mask)
        logits_, graph = scaler.prepare(logits, EDGES, None)
        t = scaler.eval().gcn(logits_, graph)
        torch.testing.assert_close(out, logits * torch.log(t.exp() + offset))
        # One factor for all classes of a node.
        torch.testing.assert_close((out / logits).std(dim=1), torch.zeros(4, dtype=torch.float64))


def test_factors_stay_positive() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    for original in (False, True):
        for value in (-1e4, 1e4):
            scaler = CaGCNScaler(2, original=original)
            with torch.no_grad():
                scaler.gcn.lin2.bias.fill_(value)
            out = scaler(logits, torch.tensor([[0], [1]]), torch.tensor([True, False]))
            assert bool(torch.isfinite(out).all())
            assert out.argmax(dim=1).tolist() == [0, 1]


def test_margin_term_by_hand() -> None:
    probs = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]], dtype=torch.float64)
    y = torch.tensor([0, 2])
    right, wrong = 1 - 0.6 + 0.3, 0.5 - 0.3
    nll = cross_entropy(probs.log(), y)
    found = CaGCNScaler(3, original=True).loss(probs.log(), y)
    torch.testing.assert_close(found, nll + 0.5 * (right + wrong) / 2)
    assert CaGCNScaler(3).loss(probs.log(), y) == nll


def test_learns_from_neighbours() -> None:
    # Labels of nodes in a sparse part are random, those in a clique right.
    generator = torch.Generator().manual_seed(0)
    clique = torch.cartesian_prod(torch.arange(30), torch.arange(30)).t()
    y = torch.randint(2, (60,), generator=generator)
    shown = torch.where(torch.arange(60) < 30, y, torch.randint(2, (60,), generator=generator))
    logits = 2 * torch.eye(2)[shown] + torch.arange(60).lt(30)[:, None] * torch.tensor([1.0, 1.0])
    val_mask = torch.arange(60) % 2 == 0
    torch.manual_seed(0)
    scaler = CaGCNScaler(2, lr=0.05, max_epochs=150)
    scaler.fit(logits, y, clique, val_mask=val_mask, train_mask=~val_mask)
    confidence = scaler(logits, clique, ~val_mask).softmax(dim=1).amax(dim=1)
    assert confidence[:30].mean() > confidence[30:].mean() + 0.2


def test_settings() -> None:
    with pytest.raises(ValueError, match=r"'dropout' must lie in \[0, 1\], got 2"):
        CaGCNScaler(3, dropout=2)
    with pytest.raises(ValueError, match="'hidden_channels' must be at least 1, got 0"):
        CaGCNScaler(3, hidden_channels=0)
