from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from graphattn.calibration import Calibrator, TemperatureScaler, make_calibrator, measure
from graphattn.recipes import (
    Restored,
    calibrate,
    calibrating,
    recipe,
    restore,
    run,
    save_calibration,
)
from graphattn.tasks import NodeTask


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Restored:
    runs = tmp_path_factory.mktemp("runs")
    experiment = recipe("gat/digits")
    short = replace(experiment, train=replace(experiment.train, max_epochs=15))
    run(short, 0, runs=runs, progress=False, offline=True)
    (report,) = runs.rglob("report.json")
    return restore(report.parent, offline=True)


def test_measures_test_nodes_before_and_after(restored: Restored) -> None:
    found = calibrate(restored, ["temperature"])
    data = restored.data
    masks = {"train_mask": data.train_mask, "val_mask": data.val_mask}
    own = found.logits["uncalibrated"]
    torch.testing.assert_close(own, restored.model(data.x, data.edge_index))
    expected = TemperatureScaler().fit(own, data.y, **masks)(own).detach()
    torch.testing.assert_close(found.logits["temperature"], expected)
    for name, logits in found.logits.items():
        rows = found.table[found.table["method"] == name].set_index("measure")
        for key, value in measure(logits, data.y, data.test_mask).items():
            if key in rows.index:
                assert rows.loc[key, "value"] == pytest.approx(value)
    assert found.changed == {"uncalibrated": 0, "temperature": 0}


def test_nodes_of_unknown_class_are_left_out(restored: Restored) -> None:
    data = restored.data.clone()
    first = data.test_mask.nonzero()[:5, 0]
    data.y[first] = -1
    partly = replace(restored, data=data)
    found = calibrate(partly, ["temperature"])
    assert int(found.test_mask.sum()) == int(data.test_mask.sum()) - 5
    save_calibration(found, partly)
    saved = json.loads((restored.folder.path / "calibration.json").read_text())
    assert saved["nodes"] == int(found.test_mask.sum())


def test_graph_seed_and_features_reach_calibrators(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(name: str, num_classes: int, **options: Any) -> Calibrator:
        return make_calibrator(name, num_classes, max_epochs=2, **options)

    monkeypatch.setattr(calibrating, "make_calibrator", short)
    found = calibrate(restored, ["gats", "gets"])
    again = calibrate(restored, ["gets", "gats"])
    for name in ("gats", "gets"):
        assert torch.equal(again.logits[name], found.logits[name])
    assert torch.equal(found.calibrators["gets"].features, restored.data.x)


def test_a_method_that_breaks_its_promise_is_an_error(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flipped(self: TemperatureScaler, prepared: Tensor) -> Tensor:
        return -prepared / self.temperature

    monkeypatch.setattr(TemperatureScaler, "calibrate", flipped)
    with pytest.raises(ValueError, match="'temperature' keeps the most probable class, but"):
        calibrate(restored, ["temperature"])


def test_what_has_no_classes_is_refused(restored: Restored) -> None:
    binary = replace(restored, task=NodeTask(labels="binary"))
    with pytest.raises(ValueError, match=r"one of several classes .* got a run of 'node binary'"):
        calibrate(binary)
    with pytest.raises(ValueError, match="unknown calibrator 'gates'"):
        calibrate(restored, ["gates"])
