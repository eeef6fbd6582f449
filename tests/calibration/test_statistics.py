from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_rel
from torch import Tensor

from graphattn.calibration import bootstrap_intervals, measure, paired_table
from graphattn.calibration.measures import MEASURES
from graphattn.calibration.outcome import outcome_of_logits
from graphattn.calibration.statistics import _statistic, check_level


def sample(seed: int, n: int = 300) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)


def interval(logits: Tensor, y: Tensor, name: str, **settings: object) -> tuple[float, float]:
    frame = bootstrap_intervals(logits, y, measures=[name], **settings)
    return frame["low"][0], frame["high"][0]


def test_intervals_stand_beside_the_measures() -> None:
    logits, y = sample(0)
    mask = torch.arange(300) % 3 > 0
    frame = bootstrap_intervals(logits, y, mask, num_resamples=50, num_bins=10)
    found = measure(logits, y, mask, num_bins=10)
    assert frame["measure"].tolist() == ["accuracy", "nll", "brier", "ece", "classwise_ece"]
    for row in frame.itertuples():
        assert row.value == pytest.approx(found[row.measure])
        assert 0 <= row.low <= row.high


@pytest.mark.parametrize("method", ["basic", "percentile", "bca"])
def test_interval_of_a_mean_is_about_normal(method: str) -> None:
    logits, y = sample(1)
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    reach = 1.96 * float(losses.std()) / 300**0.5
    low, high = interval(logits, y, "nll", method=method, num_resamples=2000)
    assert low == pytest.approx(float(losses.mean()) - reach, abs=0.02)
    assert high == pytest.approx(float(losses.mean()) + reach, abs=0.02)


@pytest.mark.parametrize("name", MEASURES)
def test_measures_of_drawn_nodes_are_those_of_a_table_of_them(name: str) -> None:
    logits, y = sample(3)
    logits[:9] = 0
    outcome = outcome_of_logits(logits, y, None)
    statistic = _statistic(name, outcome, 12)
    for seed in range(3):
        drawn = np.random.default_rng(seed).integers(300, size=200)
        expected = measure(logits[drawn], y[drawn], num_bins=12)[name]
        assert statistic(drawn) == pytest.approx(expected, abs=1e-12)


def test_level_and_seed() -> None:
    logits, y = sample(2)
    narrow, wide = (interval(logits, y, "brier", level=level) for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert interval(logits, y, "brier", level=0.5) == narrow
    assert interval(logits, y, "brier", level=0.5, seed=1) != narrow


def test_small_errors_are_corrected_for_what_chance_adds() -> None:
    # These probabilities are the true ones: the error is 0.
    basic, percentile = 0, 0
    for seed in range(10):
        logits, y = sample(seed)
        low, _ = interval(logits, y, "ece", num_resamples=100)
        basic += low < 0.02
        low, _ = interval(logits, y, "ece", method="percentile", num_resamples=100)
        percentile += low < 0.03
    assert basic >= 8
    assert percentile == 0


def test_all_right_and_undefined() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    y = torch.zeros(3).long()
    assert interval(logits, y, "accuracy", num_resamples=20) == (1.0, 1.0)
    assert np.isnan(interval(torch.zeros(3, 2), y, "kde_ece", num_resamples=20)).all()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"measures": ["f1"]}, "'measures' must be one of 'accuracy'.*, got 'f1'"),
        ({"level": 95}, "'level' must lie between 0 and 1, got 95"),
        ({"method": "BCa"}, "'method' must be one of 'percentile', 'basic', 'bca', got 'BCa'"),
        ({"num_resamples": 1}, "'num_resamples' must be at least 2, got 1"),
        ({"num_bins": 1}, "'num_bins' must be at least 2, got 1"),
        ({"seed": -1}, "'seed' must be at least 0, got -1"),
        ({"mask": torch.arange(300) == 5}, "'mask' must have at least two nodes"),
        ({"mask": torch.arange(300) < 0}, "'mask' must have at least one node"),
    ],
)
def test_bad_settings(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        bootstrap_intervals(*sample(0), **settings)


@pytest.mark.parametrize("level", [0, 1, True, "0.95", float("nan")])
def test_bad_levels(level: object) -> None:
    with pytest.raises(ValueError, match="'level' must lie between 0 and 1"):
        check_level(level)


def runs(num_runs: int = 15) -> pd.DataFrame:
    """Runs that differ more than their methods do."""
    rng = np.random.default_rng(0)
    rows = []
    for run in range(num_runs):
        base = rng.uniform(0.02, 0.06)
        for method, better in (("TS", 0.0), ("ETS", 0.0005), ("GATS", 0.002)):
            rows.append((run, method, "ece", base - better + rng.normal(scale=5e-4)))
            rows.append((run, method, "accuracy", 0.8))
    rng.shuffle(rows)
    return pd.DataFrame(rows, columns=["run", "method", "measure", "value"]).assign(
        run=lambda frame: frame["run"].astype(int), value=lambda frame: frame["value"].astype(float)
    )


def test_pairs_against_scipy() -> None:
    frame = runs()
    table = paired_table(frame, baseline="TS")
    assert table["other"].unique().tolist() == ["TS"]
    assert sorted(table["method"].unique()) == ["ETS", "GATS"]
    assert (table["runs"] == 15).all()
    wide = frame[frame["measure"] == "ece"].pivot(index="run", columns="method", values="value")
    for row in table[table["measure"] == "ece"].itertuples():
        test = ttest_rel(wide[row.method], wide["TS"]).confidence_interval(0.95)
        assert (row.t_low, row.t_high) == pytest.approx((test.low, test.high))
        difference = wide[row.method] - wide["TS"]
        assert row.difference == pytest.approx(difference.mean())
        assert row.std == pytest.approx(difference.std())
        assert row.t_low < row.boot_low < row.difference < row.boot_high < row.t_high
        assert (row.below, row.above) == ((difference < 0).sum(), (difference > 0).sum())


def test_pairing_shows_what_means_hide() -> None:
    frame = runs()
    table = paired_table(frame, baseline="TS").set_index(["measure", "method"])
    spread = frame[frame["measure"] == "ece"].groupby("method")["value"].std()
    gats = table.loc[("ece", "GATS")]
    assert abs(gats["difference"]) < spread["TS"] / 3
    assert gats["t_high"] < 0
    assert gats["boot_high"] < 0


def test_equal_methods_differ_by_nothing() -> None:
    table = paired_table(runs()).set_index("measure").loc["accuracy"]
    columns = ["difference", "std", "t_low", "t_high", "boot_low", "boot_high", "below", "above"]
    assert (table[columns] == 0).all(axis=None)
    assert len(table) == 3


def test_all_pairs_in_the_order_of_methods() -> None:
    frame = pd.DataFrame(
        {"run": [0, 0, 0], "method": list("cab"), "measure": "ece", "value": [1.0, 2.0, 4.0]}
    )
    table = paired_table(frame)
    assert table[["method", "other"]].to_numpy().tolist() == [["c", "a"], ["c", "b"], ["a", "b"]]
    assert table["difference"].tolist() == [-1, -3, -2]
    # One run says nothing about another.
    assert table[["std", "t_low", "t_high", "boot_low", "boot_high"]].isna().all(axis=None)


def change(frame: pd.DataFrame, **row: object) -> pd.DataFrame:
    return pd.concat([frame, pd.DataFrame([row])], ignore_index=True)


@pytest.mark.parametrize(
    ("frame", "settings", "text"),
    [
        (runs().drop(columns="run"), {}, r"'frame' must have the columns .* none named \['run'\]"),
        (runs().query("method == 'TS'"), {}, r"at least two methods, got \['TS'\]"),
        (runs().iloc[:0], {}, r"at least two methods, got \[\]"),
        (runs(), {"baseline": "VS"}, "'baseline' must be one of .*, got 'VS'"),
        (runs().query("run != 3 or method != 'ETS'"), {}, "got none of run 3 and method 'ETS'"),
        (
            change(runs(), run=2, method="TS", measure="ece", value=0.1),
            {},
            "one 'ece' of every run and method, got two of run 2 and method 'TS'",
        ),
        (
            change(runs(), run=99, method="TS", measure="ece", value=float("nan")),
            {},
            "finite values, got nan as 'ece' of run 99 and method 'TS'",
        ),
        (runs(), {"level": 1}, "'level' must lie between 0 and 1"),
        (runs(), {"num_resamples": 0}, "'num_resamples' must be at least 2"),
    ],
)
def test_bad_tables(frame: pd.DataFrame, settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        paired_table(frame, **settings)
