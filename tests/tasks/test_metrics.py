from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from graphattn.tasks.metrics import Ranking, RunningMean, area_under_roc, average_precision

VALUES = [(area_under_roc, roc_auc_score), (average_precision, average_precision_score)]


def test_the_mean_of_one_batch_is_its_value_bit_for_bit() -> None:
    for seed in range(200):
        value = torch.rand((), generator=torch.Generator().manual_seed(seed))
        mean = RunningMean()
        mean.update(value, 2 * seed + 3)
        assert torch.equal(mean.compute(), value)


def test_batches_count_by_their_examples() -> None:
    mean = RunningMean()
    for value, count in ((2.0, 1), (7.0, 0), (float("nan"), 0), (4.0, 3)):
        mean.update(torch.tensor(value), count)
    assert mean.compute().item() == pytest.approx(3.5)
    none = RunningMean()
    none.update(torch.tensor(1.0), 0)
    assert none.compute().isnan()


@pytest.mark.parametrize(("ours", "theirs"), VALUES)
def test_rankings_agree_with_scikit_learn_however_they_are_cut(ours, theirs) -> None:  # type: ignore[no-untyped-def]
    out = torch.randn(60, 3).round(decimals=1)  # with ties
    y = (torch.rand(60, 3) < 0.4).long()
    y[torch.rand(60, 3) < 0.2] = -1
    expected = [theirs(y[k, t], out[k, t]) for t in range(3) if (k := y[:, t] >= 0) is not None]
    for cuts in ([], [1], [20, 20, 41]):
        metric = Ranking(ours, 3)
        for rows in torch.arange(60).tensor_split(cuts):
            metric.update(out[rows], y[rows])
        assert metric.compute().item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_large_outputs_are_no_ties() -> None:
    metric = Ranking(area_under_roc, 1)
    metric.update(torch.tensor([[90.0], [80.0], [70.0]]), torch.tensor([[1], [0], [0]]))
    assert metric.compute() == 1.0


def test_labels_all_alike_are_left_out() -> None:
    y = torch.tensor([[0, 1, 0, -1], [0, 1, 1, 1], [0, 1, 1, -1]])
    out = torch.tensor([[0.3, 0.1, 0.5, 1], [0.2, 0.9, 0.9, 2], [0.1, 0.4, 0.2, 3]])
    metric = Ranking(area_under_roc, 4)
    metric.update(out, y)
    assert metric.compute().item() == pytest.approx(0.5)
    none = Ranking(area_under_roc, 2)
    none.update(out[:, :2], y[:, :2])
    assert none.compute().isnan()
