from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the embedded graph."""
    from graphattn.cli import main

    runs = tmp_path_factory.mktemp("runs")
    words = ("train", "gat", "--no-progress", "--train.max-epochs", "15", "--runs", str(runs))
    assert main(words) == 0
    (report,) = runs.rglob("report.json")
    return report.parent


def test_says_and_keeps_what_calibration_changes(graphattn: Callable[..., Any], run: Path) -> None:
    done = graphattn("calibrate", run, "--method", "temperature", "vector")
    assert done.status == 0, done.err
    assert (run / "reliability.png").read_bytes()[:4] == b"\x89PNG"
    saved = json.loads((run / "calibration.json").read_text())
    assert list(saved["methods"]) == ["uncalibrated", "temperature", "vector"]
    before, after = (saved["methods"][name]["measures"] for name in ("uncalibrated", "temperature"))
    assert after["accuracy"] == before["accuracy"]
    assert after["nll"]["low"] < after["nll"]["value"] < after["nll"]["high"]
    row = next(line for line in done.out.splitlines() if line.startswith("temperature"))
    assert f"{100 * after['ece']['value']:.2f} [" in row
    assert row.split()[-1] == "0"


def test_an_unknown_calibrator(graphattn: Callable[..., Any], run: Path) -> None:
    done = graphattn("calibrate", run, "--method", "gat")
    assert done.status == 2
    assert "unknown calibrator 'gat'; did you mean" in done.err
