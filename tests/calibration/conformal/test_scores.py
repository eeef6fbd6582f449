from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphattn.calibration.conformal import APS, RAPS, SAPS, THR, Score

LOGITS = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
U = torch.rand(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def one_by_one(name: str, probs: Tensor, u: float) -> list[float]:
    """Scores of one node by their definitions, without a sort of all nodes."""
    scores = []
    for c, own in enumerate(probs.tolist()):
        larger = [p for p in probs.tolist() if p > own]
        rank = len(larger) + 1
        aps = sum(larger) + (1 - u) * own
        first = (1 - u) * own if rank == 1 else float(probs.max()) + 0.3 * (rank - 1 - u)
        found = {"THR": 1 - own, "APS": aps, "RAPS": aps + 0.05 * max(0, rank - 2), "SAPS": first}
        scores.append(found[name])
        assert c < len(probs)
    return scores


@pytest.mark.parametrize("score", [THR(), APS(), RAPS(0.05, 2), SAPS(0.3)])
def test_definition(score: Score) -> None:
    found = score(LOGITS, U)
    probs = LOGITS.softmax(dim=1)
    expected = [
        one_by_one(type(score).__name__, *row) for row in zip(probs, U.tolist(), strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("score", [THR(), APS(), RAPS(0.05, 2), SAPS(0.3)])
def test_sets_have_no_gaps(score: Score) -> None:
    by_rank = torch.rand(40, 5, generator=torch.Generator().manual_seed(2))
    for u in (U, by_rank):
        ranked = score(LOGITS, u).gather(1, LOGITS.argsort(dim=1, descending=True))
        assert (ranked.diff(dim=1) >= 0).all()
    assert torch.equal(score(LOGITS, U), score(LOGITS, U[:, None].expand(40, 5)))


def test_confident_logits_in_half_precision() -> None:
    logits = torch.tensor([[20.0, 0.0, -9.0], [22.0, 1.0, -9.0]])
    assert (logits.softmax(dim=1)[:, 0] == 1).all()
    scores = THR()(logits)
    assert scores.dtype == torch.float64
    assert 0 < scores[1, 0] < scores[0, 0] < 1e-8
    assert torch.equal(THR()(logits.half()), scores)


def test_all_equal_logits_rank_by_number() -> None:
    expected = torch.tensor([[0.25, 0.5, 0.75, 1.0]], dtype=torch.float64)
    assert torch.equal(APS(randomised=False)(torch.zeros(1, 4)), expected)


def test_no_nodes() -> None:
    assert APS()(torch.zeros(0, 3), torch.zeros(0)).shape == (0, 3)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"'u' must be given to APS\(randomised=True\), which"):
        APS()(LOGITS)
    with pytest.raises(ValueError, match=r"'u' must have shape \[40\] or \[40, 5\], got \[5\]"):
        APS()(LOGITS, U[:5])
    with pytest.raises(ValueError, match=r"'u' must lie in \[0, 1\), got"):
        APS()(LOGITS, U + 1)
    with pytest.raises(TypeError, match=r"'u' must be a floating-point tensor, got torch.int64"):
        APS()(LOGITS, U.long())
    with pytest.raises(ValueError, match="'logits' look like probabilities"):
        THR()(LOGITS.softmax(dim=1))
    with pytest.raises(ValueError, match="'logits' must be finite"):
        THR()(LOGITS / 0)
    with pytest.raises(ValueError, match="'penalty' must be finite and 0 or more, got -1"):
        RAPS(-1)
    with pytest.raises(TypeError, match=r"'k_reg' must be a whole number, got 0\.5"):
        RAPS(k_reg=0.5)
    with pytest.raises(ValueError, match="'weight' must be finite and 0 or more, got nan"):
        SAPS(float("nan"))
