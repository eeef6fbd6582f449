from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from graphattn.calibration.conformal import (
    APS,
    DAPS,
    RAPS,
    SAPS,
    SNAPS,
    THR,
    ConformalPredictor,
    Score,
    coverage_interval,
    draw,
    knn_graph,
    measure_sets,
)
from graphattn.data import csbm

SCORES = [THR(), APS(), RAPS(), SAPS(), DAPS(), DAPS(THR()), SNAPS(), SNAPS(THR())]


def problem(num_nodes: int = 600, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits that are right more often than not, classes, edges and features."""
    data = csbm(num_nodes, num_classes=4, average_degree=6, homophily=0.7, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(num_nodes, 4, generator=generator)
    logits = 2 * torch.nn.functional.one_hot(data.y, 4) + 1.5 * noise
    return logits, data.y, data.edge_index, logits[:, :3].exp()


def random_mask(num_nodes: int, size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(num_nodes, dtype=torch.bool)
    mask[torch.randperm(num_nodes, generator=generator)[:size]] = True
    return mask


@pytest.mark.parametrize("alpha", [0.1, 0.05])
@pytest.mark.parametrize("score", SCORES, ids=repr)
def test_coverage_lies_in_the_exact_interval(score: Score, alpha: float) -> None:
    logits, y, edges, x = problem()
    knn = knn_graph(x, 10) if score.needs_knn else None
    low, high = coverage_interval(200, 400, alpha)
    inside = 0
    for division in range(40):
        cal = random_mask(600, 200, division)
        predictor = ConformalPredictor(score, alpha=alpha).fit(
            logits, y, edges, cal_mask=cal, knn=knn
        )
        sets = predictor(logits, edges, knn=knn)
        inside += low <= measure_sets(sets[~cal], y[~cal], alpha=alpha).coverage <= high
    # A test at 95 % that is right fails so often by chance.
    assert inside >= stats.binom.ppf(1e-4, 40, 0.95)


def test_classes_are_covered_one_by_one() -> None:
    logits, y, _, _ = problem(4000)
    logits[:, 0] -= 2  # the first class is hard
    cal = random_mask(4000, 2000, 0)
    found = {}
    for per_class in (False, True):
        predictor = ConformalPredictor(THR(), per_class=per_class).fit(logits, y, cal_mask=cal)
        sets = predictor(logits)
        hard = ~cal & (y == 0)
        found[per_class] = measure_sets(sets[hard], y[hard], alpha=0.1).coverage
    low, high = coverage_interval(int((cal & (y == 0)).sum()), int(hard.sum()), 0.1, level=0.999)
    assert found[False] < low <= found[True] <= high
    assert predictor.thresholds.shape == (4,)


def test_too_few_nodes_put_all_classes_in() -> None:
    logits, y, _, _ = problem(50)
    cal = random_mask(50, 8, 0)
    assert ConformalPredictor(APS()).fit(logits, y, cal_mask=cal)(logits).all()
    present = y[cal].unique()
    predictor = ConformalPredictor(APS(), alpha=0.9, per_class=True).fit(logits, y, cal_mask=cal)
    missing = [c for c in range(4) if c not in present.tolist()]
    assert predictor(logits)[:, missing].all()


def test_top_class() -> None:
    logits, y, _, _ = problem()
    cal = random_mask(600, 300, 0)
    plain = ConformalPredictor(APS(), alpha=0.4).fit(logits, y, cal_mask=cal)(logits)
    filled = ConformalPredictor(APS(), alpha=0.4, top_class=True).fit(logits, y, cal_mask=cal)(
        logits
    )
    assert not plain.any(dim=1).all()
    assert filled.any(dim=1).all()
    added = filled & ~plain
    assert (plain <= filled).all()
    assert torch.equal(added.nonzero()[:, 1], logits.argmax(dim=1)[added.any(dim=1)])


def test_draws_are_kept() -> None:
    logits, y, _, _ = problem()
    cal = random_mask(600, 300, 0)
    predictor = ConformalPredictor(APS(), seed=3).fit(logits, y, cal_mask=cal)
    assert torch.equal(predictor(logits), predictor(logits))
    assert torch.equal(predictor.scores(logits), APS()(logits, draw(logits, seed=3)))
    other = ConformalPredictor(APS(), seed=4)
    assert not torch.equal(other.scores(logits), predictor.scores(logits))
    per_rank = ConformalPredictor(APS(), seed=3, draws="per rank")
    expected = APS()(logits, draw(logits, seed=3, per_rank=True))
    assert torch.equal(per_rank.scores(logits), expected)


@pytest.mark.parametrize("per_class", [False, True])
def test_state_dict(per_class: bool) -> None:
    logits, y, _, _ = problem()
    cal = random_mask(600, 300, 0)
    saved = ConformalPredictor(APS(), per_class=per_class).fit(logits, y, cal_mask=cal)
    loaded = ConformalPredictor(APS(), per_class=per_class)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded(logits), saved(logits))
    assert loaded.thresholds.dtype == torch.float64


def test_precisions() -> None:
    logits, y, _, _ = problem()
    cal, logits = random_mask(600, 300, 0), logits.half()
    predictor = ConformalPredictor(APS())
    sets = [
        predictor.fit(cast, y, cal_mask=cal)(cast)
        for cast in (logits, logits.float(), logits.double())
    ]
    assert torch.equal(sets[0], sets[1])
    assert torch.equal(sets[0], sets[2])


def test_equal_logits_put_all_or_nothing_in() -> None:
    y = torch.arange(100) % 4
    predictor = ConformalPredictor(THR()).fit(torch.zeros(100, 4), y, cal_mask=y < 2)
    assert predictor(torch.zeros(100, 4)).all()


def test_labels_outside_the_masks_do_not_matter() -> None:
    logits, y, _, _ = problem()
    cal = random_mask(600, 300, 0)
    hidden = torch.where(cal, y, -1)
    found = ConformalPredictor(THR()).fit(logits, hidden, cal_mask=cal).thresholds
    assert found == ConformalPredictor(THR()).fit(logits, y, cal_mask=cal).thresholds


def test_repr() -> None:
    assert repr(ConformalPredictor(THR(), alpha=0.05)) == "ConformalPredictor(THR(), alpha=0.05)"


def test_bad_input() -> None:
    logits, y, edges, _ = problem(40)
    cal = random_mask(40, 20, 0)
    with pytest.raises(RuntimeError, match="this ConformalPredictor must be fitted before"):
        ConformalPredictor(THR())(logits)
    with pytest.raises(TypeError, match=r"'score' must be a Score, such as APS\(\), got <class"):
        ConformalPredictor(APS)
    with pytest.raises(ValueError, match=r"'alpha'.* got 90"):
        ConformalPredictor(APS(), alpha=90)
    with pytest.raises(ValueError, match=r"'draws' must be one of 'per node', 'per rank', got 'r'"):
        ConformalPredictor(APS(), draws="r")
    with pytest.raises(ValueError, match="'logits' look like probabilities"):
        ConformalPredictor(THR()).fit(logits.softmax(dim=1), y, cal_mask=cal)
    with pytest.raises(ValueError, match="must not overlap"):
        ConformalPredictor(THR()).fit(logits, y, cal_mask=cal, seen_mask=cal)
    with pytest.raises(ValueError, match="'edge_index' must be given to DAPS"):
        ConformalPredictor(DAPS()).fit(logits, y, cal_mask=cal)
    predictor = ConformalPredictor(DAPS(), per_class=True).fit(logits, y, edges, cal_mask=cal)
    with pytest.raises(ValueError, match="'logits' must have the 4 classes of the fit, got 3"):
        predictor(logits[:, :3], edges)
