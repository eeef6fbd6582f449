"""Calibrating the model of a finished run."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from graphattn._core.errors import unknown_name
from graphattn._core.files import write_atomically
from graphattn.calibration import (
    CALIBRATORS,
    Calibrator,
    bootstrap_intervals,
    make_calibrator,
    reliability_bins,
)
from graphattn.recipes.running import Restored
from graphattn.tasks import NodeTask
from graphattn.viz import reliability_diagram

__all__ = ["UNCALIBRATED", "Calibration", "calibrate", "save_calibration"]

UNCALIBRATED = "uncalibrated"
"""Name of the model's own logits among the methods."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What calibrators made of the logits of a run."""

    table: pd.DataFrame
    """One row per method and measure on test nodes: ``method``, ``measure``, ``value``, ``low`` and
    ``high`` (see :func:`graphattn.calibration.bootstrap_intervals`)."""
    logits: dict[str, Tensor]
    """Logits of all nodes by method, those of the model first. Shape ``[N, C]``."""
    changed: dict[str, int]
    """Number of nodes, of all, whose most probable class a method changed."""
    calibrators: dict[str, Calibrator]
    """The fitted calibrators by name."""
    y: Tensor
    """Classes of all nodes, -1 where unknown. Shape ``[N]``."""
    test_mask: Tensor
    """Test nodes whose class is known, which were measured. Shape ``[N]``."""


def calibrate(restored: Restored, methods: Iterable[str] = ("gats",)) -> Calibration:
    """Fit calibrators to a finished run, and measure them on its test nodes.

    Calibrators learn from validation nodes, and training nodes say when to stop.

    Args:
        restored: The run, from :func:`graphattn.recipes.restore`.
        methods: Names from :data:`graphattn.calibration.CALIBRATORS`. Each starts from the run's
            seed.

    Returns:
        Measures, logits and calibrators.

    Raises:
        ValueError: If there is no such method, the task of the run is not one of several classes
            for nodes, or the most probable class of a node changed in a method that keeps it.
    """
    methods = list(dict.fromkeys(methods))
    for name in methods:
        if name not in CALIBRATORS:
            raise unknown_name("calibrator", name, CALIBRATORS)
    task, data = restored.task, restored.data
    if not isinstance(task, NodeTask) or task.labels != "multiclass":
        raise ValueError(
            f"calibration needs one of several classes for every node, got a run of {task.name!r}"
        )
    with torch.no_grad():
        own = task.output(restored.model, data)
    y = task.kind.form(task.labels_of(data))
    known = task.kind.known(y)
    train, val, test = (data[f"{split}_mask"] & known for split in ("train", "val", "test"))
    logits, changed, calibrators = {UNCALIBRATED: own}, {UNCALIBRATED: 0}, {}
    for name in methods:
        options: dict[str, Any] = {}
        if "features" in inspect.signature(CALIBRATORS[name]).parameters:
            options["features"] = data.x.to_dense()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(restored.seed)
            calibrator = make_calibrator(name, own.size(1), **options)
            calibrator.fit(own, y, data.edge_index, train_mask=train, val_mask=val)
        with torch.no_grad():
            logits[name] = calibrator(own, data.edge_index, train)
        changed[name] = int((logits[name].argmax(dim=1) != own.argmax(dim=1)).sum())
        if calibrator.preserves_accuracy and changed[name]:
            raise ValueError(
                f"{name!r} keeps the most probable class, but changed that of {changed[name]} "
                "node(s): logits are too close to each other for their type"
            )
        calibrators[name] = calibrator
    tables = [
        bootstrap_intervals(found, y, test).assign(method=name) for name, found in logits.items()
    ]
    columns = ["method", "measure", "value", "low", "high"]
    table = pd.concat(tables, ignore_index=True)[columns]
    return Calibration(table, logits, changed, calibrators, y, test)


def save_calibration(calibration: Calibration, restored: Restored) -> None:
    """Write ``calibration.json`` and ``reliability.png`` into the folder of the run.

    Args:
        calibration: From :func:`calibrate`.
        restored: The run.

    Raises:
        OSError: If a file can't be written.
    """
    rows = calibration.table.set_index("measure")
    methods = {
        name: {
            "changed_predictions": changed,
            "measures": rows.loc[rows["method"] == name, ["value", "low", "high"]].to_dict("index"),
        }
        for name, changed in calibration.changed.items()
    }
    y, mask = calibration.y, calibration.test_mask
    values = {"nodes": int(mask.sum()), "level": 0.95, "methods": methods}
    text = json.dumps(values, indent=1) + "\n"
    bins = {
        name: reliability_bins(logits.softmax(dim=1), y, mask=mask)
        for name, logits in calibration.logits.items()
    }
    picture = io.BytesIO()
    figure = reliability_diagram(bins, title=restored.experiment.name)
    figure.savefig(picture, format="png", dpi=150)

    folder = restored.folder.path
    write_atomically(folder / "calibration.json", lambda file: file.write(text.encode()))
    write_atomically(folder / "reliability.png", lambda file: file.write(picture.getvalue()))
