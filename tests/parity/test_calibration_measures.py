"""Measures of calibration against the code of GATS.

`GRAPHATTN_PARITY` names another root of fixture folders (one per method) to check with the same
command; the array names are those of `fixtures/gats/README.md`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from graphattn.calibration import (
    accuracy,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    kde_calibration_error,
    measure,
    negative_log_likelihood,
    reliability_bins,
)
from graphattn.calibration.binning import Bins, bins_of, place_of
from graphattn.calibration.outcome import outcome_of

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures")
FILES = sorted((ROOT / "gats").glob("metrics_*.npz"))
TOLERANCE = 1e-10
# The authors' code takes one mean in float32.
TOLERANCE_KDE = 1e-6
PARTS = ("all", "mask")
ECE = re.compile(r"(all|mask)_ece_(width|mass|rightclosed)_(\d+)_(l1|sq)")


def load(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path) as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file}


def test_there_are_fixtures() -> None:
    assert FILES, f"no fixture below {ROOT / 'gats'}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_calibration_errors(path: Path) -> None:
    arrays = load(path)
    checked = 0
    for name, expected in arrays.items():
        if not (found := ECE.fullmatch(name)):
            continue
        part, kind, num_bins, norm = found.groups()
        error = expected_calibration_error(
            arrays["probs"],
            arrays["labels"],
            int(num_bins),
            mask=arrays["mask"] if part == "mask" else None,
            bins="mass" if kind == "mass" else "width",
            closed="right" if kind == "rightclosed" else "left",
            norm="squared" if norm == "sq" else "l1",
        )
        assert error == pytest.approx(float(expected), abs=TOLERANCE, rel=0), name
        checked += 1
    assert checked >= 11


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_other_measures(path: Path, part: str) -> None:
    arrays = load(path)
    p, logits, y = arrays["probs"], arrays["log_probs"], arrays["labels"]
    mask = arrays["mask"] if part == "mask" else None
    found = {
        "accuracy": accuracy(p, y, mask=mask),
        "nll": negative_log_likelihood(logits, y, mask=mask),
        "brier": brier_score(p, y, mask=mask),
        "classwise_ece_width_15": classwise_calibration_error(p, y, mask=mask),
    }
    for name, value in found.items():
        expected = float(arrays[f"{part}_{name}"])
        assert value == pytest.approx(expected, abs=TOLERANCE, rel=0), name
    kde = kde_calibration_error(p, y, mask=mask)
    assert kde == pytest.approx(float(arrays[f"{part}_kde_ece"]), abs=TOLERANCE_KDE, rel=0)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_measures_of_logits_at_once(path: Path, part: str) -> None:
    arrays = load(path)
    mask = arrays["mask"] if part == "mask" else None
    found = measure(arrays["log_probs"], arrays["labels"], mask)
    names = {
        "accuracy": "accuracy",
        "nll": "nll",
        "brier": "brier",
        "ece": "ece_width_15_l1",
        "ece_right": "ece_rightclosed_15_l1",
        "ece_mass": "ece_mass_15_l1",
        "classwise_ece": "classwise_ece_width_15",
    }
    for ours, theirs in names.items():
        if (expected := arrays.get(f"{part}_{theirs}")) is not None:
            assert found[ours] == pytest.approx(float(expected), abs=TOLERANCE, rel=0), ours


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reliability_bins(path: Path, part: str) -> None:
    arrays = load(path)
    mask = arrays["mask"] if part == "mask" else None
    outcome = outcome_of(arrays["probs"], arrays["labels"], mask)
    place = place_of(outcome.confidence, 15, "width", "left")
    sums: Bins = bins_of(place, outcome.confidence, outcome.correct, 15)
    for ours, theirs in (
        ("count", "count"),
        ("confidence", "conf_sum"),
        ("correct", "correct_sum"),
    ):
        expected = arrays[f"{part}_rel15_{theirs}"].numpy()
        np.testing.assert_allclose(getattr(sums, ours), expected, atol=TOLERANCE, rtol=0)
    frame = reliability_bins(arrays["probs"], arrays["labels"], mask=mask)
    filled = sums.count > 0
    for column, total in (("confidence", sums.confidence), ("accuracy", sums.correct)):
        expected = total[filled] / sums.count[filled]
        np.testing.assert_allclose(frame[column][filled], expected, atol=TOLERANCE, rtol=0)
        assert frame[column][~filled].isna().all()
