from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from graphattn.calibration import reliability_bins, reliability_over_runs
from graphattn.calibration.binning import bins_of, check_binning, equal_counts, place_of


def test_borders_belong_to_one_side() -> None:
    values = np.array([0.0, 0.25, 0.3, 0.5, 0.75, 1.0])
    assert place_of(values, 4, "width", "left").tolist() == [0, 1, 1, 2, 3, 3]
    assert place_of(values, 4, "width", "right").tolist() == [0, 0, 1, 1, 2, 3]


def test_equal_counts() -> None:
    values = np.array([0.9, 0.1, 0.5, 0.5, 0.2])
    # Borders at floor(k * 5 / 3) = 0, 1, 3, 5 of the sorted values.
    assert equal_counts(values, 3).tolist() == [2, 0, 1, 2, 1]
    assert place_of(values, 3, "mass", "left").tolist() == [2, 0, 1, 2, 1]
    # More bins than values: some stay empty.
    assert np.bincount(equal_counts(values[:2], 4), minlength=4).tolist() == [0, 1, 0, 1]


def test_norms() -> None:
    sums = bins_of(np.array([0, 0, 2]), np.array([0.2, 0.4, 0.9]), np.array([0.0, 1.0, 0.0]), 3)
    gaps, shares = np.array([0.2, 0.9]), np.array([2 / 3, 1 / 3])
    assert sums.error("l1") == pytest.approx(gaps @ shares)
    assert sums.error("squared") == pytest.approx(gaps**2 @ shares)
    assert sums.error("l2") == pytest.approx((gaps**2 @ shares) ** 0.5)
    assert sums.error("max") == pytest.approx(0.9)
    means = sums.means()
    assert means["count"].tolist() == [2, 0, 1]
    np.testing.assert_allclose(means["gap"], [0.2, np.nan, -0.9])


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"num_bins": 1}, ValueError, "'num_bins' must be at least 2, got 1"),
        ({"num_bins": 1.5}, TypeError, "'num_bins' must be a whole number"),
        ({"bins": "height"}, ValueError, "'bins' must be one of 'width', 'mass', got 'height'"),
        ({"closed": "both"}, ValueError, "'closed' must be one of 'left', 'right'"),
        ({"norm": 2}, ValueError, "'norm' must be one of 'l1'"),
    ],
)
def test_bad_settings(settings: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        check_binning(**{"num_bins": 15, "bins": "width", "closed": "left", **settings})


def sample(seed: int, n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    p = (2 * torch.randn(n, 4, generator=generator)).softmax(1)
    return p, torch.randint(4, (n,), generator=generator)


def test_reliability_bins_against_pandas() -> None:
    p, y = sample(0)
    frame = reliability_bins(p, y, num_bins=10)
    confidence, predicted = p.double().max(1)
    nodes = pd.DataFrame({"confidence": confidence, "accuracy": (predicted == y).double()})
    cut = pd.cut(nodes["confidence"], np.arange(11) / 10, right=False, labels=False)
    expected = nodes.groupby(cut).mean().reindex(range(10))
    pd.testing.assert_frame_equal(
        frame[["confidence", "accuracy"]], expected, check_names=False, check_index_type=False
    )
    assert frame["count"].sum() == 200
    np.testing.assert_allclose(frame["upper"] - frame["lower"], 0.1)


def test_bins_of_equal_counts_have_their_own_borders() -> None:
    p, y = sample(0)
    frame = reliability_bins(p, y, num_bins=8, bins="mass")
    assert frame["count"].tolist() == [25] * 8
    assert (frame["lower"] <= frame["confidence"]).all()
    assert (frame["confidence"] <= frame["upper"]).all()
    assert frame["lower"].is_monotonic_increasing
    few = reliability_bins(p[:2], y[:2], num_bins=4, bins="mass")
    assert few["count"].tolist() == [0, 1, 0, 1]
    assert few["lower"].isna().tolist() == [True, False, True, False]


def test_all_equal_logits_fill_one_bin() -> None:
    frame = reliability_bins(torch.full((5, 4), 0.25), torch.arange(5) % 4)
    assert frame["count"].tolist() == [0, 0, 0, 5] + [0] * 11
    assert frame["accuracy"][3] == pytest.approx(0.4)


def test_over_runs() -> None:
    runs = [reliability_bins(*sample(seed), num_bins=5) for seed in range(3)]
    band = reliability_over_runs(runs)
    values = np.array([run["accuracy"] for run in runs])
    filled = ~np.isnan(values).all(axis=0)
    np.testing.assert_allclose(band["accuracy"][filled], np.nanmean(values[:, filled], axis=0))
    whole = ~np.isnan(values).any(axis=0)
    np.testing.assert_allclose(band["accuracy_std"][whole], values[:, whole].std(axis=0, ddof=1))
    assert band["count"].sum() == 600
    assert band["runs"].tolist() == (~np.isnan(values)).sum(axis=0).tolist()


def test_runs_must_fit_together() -> None:
    with pytest.raises(ValueError, match="'runs' must have at least one frame, got none"):
        reliability_over_runs([])
    runs = [reliability_bins(*sample(0), num_bins=size) for size in (5, 6)]
    with pytest.raises(ValueError, match=r"same number of bins, got \[5, 6\]"):
        reliability_over_runs(runs)
