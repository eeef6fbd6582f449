from __future__ import annotations

import torch

from graphattn.calibration import OrderInvariantScaler


def test_order_and_equal_logits() -> None:
    torch.manual_seed(0)
    scaler = OrderInvariantScaler(5).double()
    logits = torch.randn(40, 5, dtype=torch.float64)
    logits[:, 3] = logits[:, 1]
    out = scaler(logits).detach()
    assert torch.equal(out.argsort(dim=1, stable=True), logits.argsort(dim=1, stable=True))
    assert torch.equal(out[:, 3], out[:, 1])
    assert bool((out.amin(dim=1) == 0).all())


def test_names_of_classes_do_not_matter() -> None:
    torch.manual_seed(0)
    scaler = OrderInvariantScaler(5).double()
    logits = torch.randn(40, 5, dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(scaler(logits[:, order]), scaler(logits)[:, order])


def test_three_classes_by_hand() -> None:
    scaler = OrderInvariantScaler(3).double()
    with torch.no_grad():
        scaler.lin2.weight.zero_()
        scaler.lin2.bias.copy_(torch.tensor([7.0, 0.5, -0.25]))
    out = scaler(torch.tensor([[1.0, 4.0, 2.0]]).double())
    # The last output weighs the gap at the top, the first none.
    lower, upper = torch.tensor([0.5, -0.25]).double().exp().log1p()
    expected = torch.stack([torch.zeros_like(lower), lower + 2 * upper, lower])
    torch.testing.assert_close(out.detach(), expected.unsqueeze(0))
