from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCN

from graphattn.calibration.conformal import (
    APS,
    CFGNN,
    THR,
    ConformalPredictor,
    measure_sets,
    set_size_loss,
)
from graphattn.data import csbm

Problem = tuple[Tensor, Tensor, Tensor, dict[str, Tensor], Tensor]


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Logits that don't look at neighbours, in a graph where these help."""
    data = csbm(800, num_classes=4, average_degree=10, homophily=0.9, seed=0)
    torch.manual_seed(0)
    logits = 1.5 * torch.nn.functional.one_hot(data.y, 4) + torch.randn(800, 4)
    part = torch.randint(0, 4, (800,))
    names = ("train_mask", "correction_mask", "val_mask")
    return logits, data.y, data.edge_index, {n: part == i for i, n in enumerate(names)}, part == 3


def test_corrected_sets_are_smaller_and_cover(problem: Problem) -> None:
    logits, y, edges, masks, rest = problem
    before = logits.clone()
    torch.manual_seed(0)
    model = CFGNN(GCN(4, 16, 2, 4), lr=0.02, max_epochs=40, warmup=20, repeats=10)
    corrected = model.fit(logits, y, edges, **masks)(logits, edges)
    assert torch.equal(logits, before)
    assert not model.training
    cal = rest & (torch.arange(800) % 2 == 0)
    test = rest & ~cal
    found = []
    for given in (logits, corrected.detach()):
        sets = ConformalPredictor(THR()).fit(given, y, cal_mask=cal)(given)
        found.append(measure_sets(sets[test], y[test], alpha=0.1))
    assert found[1].size < 0.8 * found[0].size
    assert found[1].coverage > 0.8


def test_keeps_the_state_with_the_smallest_sets(problem: Problem) -> None:
    logits, y, edges, masks, _ = problem
    model = CFGNN(GCN(4, 8, 2, 4), lr=0.1, max_epochs=12, warmup=4, repeats=5)
    sizes: list[float] = []
    measure = model._mean_size

    def watched(corrected: Tensor, classes: Tensor) -> float:
        sizes.append(measure(corrected, classes))
        return sizes[-1]

    model._mean_size = watched
    model.fit(logits, y, edges, **masks)
    val = masks["val_mask"]
    assert len(sizes) == 12
    assert measure(model(logits, edges)[val], y[val]) == pytest.approx(min(sizes))


@pytest.mark.parametrize("warmup", [0, 2, 3])
def test_size_loss_counts_only_after_the_warmup(problem: Problem, warmup: int) -> None:
    logits, y, edges, masks, _ = problem
    model = CFGNN(GCN(4, 8, 2, 4), max_epochs=3, warmup=warmup, repeats=2)
    losses: list[Tensor] = []
    size_loss = model._size_loss

    def watched(*args: Tensor) -> Tensor:
        losses.append(size_loss(*args))
        losses[-1].retain_grad()
        return losses[-1]

    model._size_loss = watched
    model.fit(logits, y, edges, **masks)
    assert len(losses) == 3 - warmup
    assert all(loss.grad == model.size_weight for loss in losses)


def test_size_loss_by_hand() -> None:
    true = torch.linspace(0.1, 0.9, 9, dtype=torch.float64, requires_grad=True)
    probs = torch.tensor([[0.1, 0.9], [0.9, 0.1]], dtype=torch.float64)
    loss = set_size_loss(true, probs, alpha=0.1, tau=1e-3, target_size=0)
    assert loss.item() == pytest.approx(1.5)  # the threshold is 0.1, at which a class counts half
    loss.backward()
    assert true.grad.nonzero().tolist() == [[0]]
    loss = set_size_loss(true, probs, alpha=0.2, tau=1e-3, target_size=1)
    assert loss.item() == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="'true_probs' must have at least 1 / alpha - 1 entries"):
        set_size_loss(true[:8], probs, alpha=0.1, tau=1.0, target_size=0)


def test_state_dict_and_precision(problem: Problem) -> None:
    logits, y, edges, masks, _ = problem
    saved = CFGNN(GCN(4, 8, 2, 4), max_epochs=2, repeats=2).fit(logits.double(), y, edges, **masks)
    loaded = CFGNN(GCN(4, 8, 2, 4)).double().eval()
    loaded.load_state_dict(saved.state_dict())
    out = loaded(logits.double(), edges)
    assert out.dtype == torch.float64
    assert torch.equal(out, saved(logits.double(), edges))


class Widening(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return torch.cat([x, x], dim=1)


def test_bad_input(problem: Problem) -> None:
    logits, y, edges, masks, _ = problem
    model = CFGNN(GCN(4, 8, 2, 4), max_epochs=1)
    with pytest.raises(ValueError, match="'train_mask' and 'val_mask' must not overlap"):
        model.fit(logits, y, edges, **masks | {"val_mask": masks["train_mask"]})
    few = torch.zeros(800, dtype=torch.bool)
    few[masks["val_mask"].nonzero()[:17]] = True
    with pytest.raises(ValueError, match=r"half of 'val_mask' must have at least .* got 8"):
        model.fit(logits, y, edges, **masks | {"val_mask": few})
    with pytest.raises(ValueError, match="'logits' look like probabilities"):
        model.fit(logits.softmax(dim=1), y, edges, **masks)
    with pytest.raises(ValueError, match=r"network must keep the shape \[800, 4\] .* \[800, 8\]"):
        CFGNN(Widening())(logits, edges)
    with pytest.raises(TypeError, match="'network' must be a module, got int"):
        CFGNN(3)
    with pytest.raises(TypeError, match="'score' must be a score of single nodes"):
        CFGNN(Widening(), score=APS)
    with pytest.raises(ValueError, match="'target_size' must be at most 1, got 2"):
        CFGNN(Widening(), target_size=2)
    with pytest.raises(ValueError, match="'tau' must be finite and above 0, got 0"):
        CFGNN(Widening(), tau=0)
