from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Normal

from graphattn.calibration.gates import Gates


def made(top_k: int) -> tuple[Gates, Tensor]:
    torch.manual_seed(0)
    gates = Gates(3, 5, top_k).double()
    torch.nn.init.normal_(gates.weight)
    torch.nn.init.normal_(gates.noise_weight)
    return gates, torch.randn(40, 3, dtype=torch.float64)


def test_the_largest_get_a_softmax() -> None:
    gates, x = made(2)
    found, _ = gates.eval()(x)
    score = x @ gates.weight
    bar = score.topk(2, dim=1).values[:, -1:]
    expected = score.masked_fill(score < bar, float("-inf")).softmax(dim=1)
    torch.testing.assert_close(found, expected)
    everything, _ = Gates(3, 5, 5).double().eval()(x)
    torch.testing.assert_close(everything, torch.full_like(everything, 0.2))


def test_load_is_the_chance_to_be_chosen() -> None:
    gates, x = made(2)
    torch.manual_seed(1)
    found, uneven = gates(x)
    torch.manual_seed(1)
    clean = x @ gates.weight
    noise = (x @ gates.noise_weight).exp().log1p() + 1e-2
    score = clean + torch.randn_like(clean) * noise
    load = torch.zeros(5, dtype=torch.float64)
    for i in range(40):
        for m in range(5):
            others = score[i, torch.arange(5) != m].sort(descending=True).values
            # To be among the first two it must beat the second of the others.
            load[m] += 1 - Normal(0.0, 1.0).cdf((others[1] - clean[i, m]) / noise[i, m])
    expected = sum(each.var() / each.mean().square() for each in (found.sum(dim=0), load))
    torch.testing.assert_close(uneven, expected, rtol=1e-6, atol=0)


def test_even_use_costs_nothing() -> None:
    gates = Gates(2, 2, 1).double().eval()
    with torch.no_grad():
        gates.weight.copy_(torch.eye(2))
    x = torch.eye(2, dtype=torch.float64)
    assert gates(x)[1].item() == 0
    assert gates(x[[0, 0]])[1].item() > 1
