from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphattn.recipes import collect_reports, results_table
from graphattn.recipes.table import keep_reports, to_markdown, to_text
from graphattn.train import Report


def report(name: str, seed: int, accuracy: float) -> Report:
    return Report(
        name=name,
        seed=seed,
        split="public",
        metric="accuracy",
        best_epoch=1,
        epochs=2,
        train_loss=0.1,
        train_metric=1.0,
        val_loss=0.2,
        val_metric=0.8,
        test_loss=0.3,
        test_metric=accuracy,
        seconds=1.0,
        parameters=10,
        device="cpu",
    )


def test_mean_sample_deviation_and_difference() -> None:
    rows = [report("mine", 0, 0.5), report("gat/cora", 0, 0.82), report("gat/cora", 1, 0.84)]
    table = results_table(rows)
    assert table["recipe"].tolist() == ["gat/cora", "mine"]
    cora = table.iloc[0]
    assert cora["mean"] == pytest.approx(83.0)
    assert cora["sd"] == pytest.approx(2**0.5)
    assert (cora["n"], cora["published"], cora["published_sd"]) == (2, 83.0, 0.7)
    assert cora["difference"] == pytest.approx(0.0)
    assert "83.00 ± 1.41  2 83.00 ± 0.70      +0.00 GAT paper" in to_text(table)
    assert "| mine" not in to_markdown(table)
    assert "| `mine` | 50.00 | 1 | - | - |  |" in to_markdown(table)


def test_notes_are_numbered() -> None:
    table = results_table([report("gat/cora", 0, 0.82), report("gat/citeseer", 0, 0.7)])
    table["note"] = ["first", "second"]
    text = to_markdown(table)
    assert "| `gat/cora` [1] |" in text
    assert "| `gat/citeseer` [2] |" in text
    assert text.endswith("[1] first\n\n[2] second\n")
    assert to_text(table).endswith("gat/cora: first\ngat/citeseer: second")


def test_the_newest_of_equal_runs_counts(tmp_path: Path) -> None:
    for time, accuracy in (("20260101-000000", 0.7), ("20260201-000000", 0.8)):
        folder = tmp_path / "gat" / "cora" / f"{time}-seed0"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report("gat/cora", 0, accuracy).to_dict()))
    (found,) = collect_reports(tmp_path)
    assert found.test_metric == 0.8


def test_kept_reports_are_found_again(tmp_path: Path) -> None:
    reports = [report("gat/cora", seed, 0.8) for seed in (0, 1)]
    keep_reports(reports, tmp_path)
    assert collect_reports(tmp_path) == reports
    assert (tmp_path / "gat/cora/seed1/report.json").exists()
    keep_reports(reports[:1], tmp_path)
    assert collect_reports(tmp_path) == reports[:1]


def test_figures_that_are_no_numbers(tmp_path: Path) -> None:
    values = report("gat/cora", 0, 0.8).to_dict() | {"test_metric": "high"}
    (tmp_path / "report.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="'test_metric' must be a number, got 'high'"):
        collect_reports(tmp_path)


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no report\.json below"):
        collect_reports(tmp_path)
    (tmp_path / "report.json").write_text('{"name": "x"}')
    with pytest.raises(ValueError, match="is no report: the report lacks seed"):
        collect_reports(tmp_path)
