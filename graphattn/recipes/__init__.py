"""Experiments with their published numbers: model, data set and training in one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphattn._core.lazy import lazy_exports

if TYPE_CHECKING:
    from graphattn.recipes.batches import make_batches
    from graphattn.recipes.calibrating import Calibration, calibrate, save_calibration
    from graphattn.recipes.experiment import DataConfig, Experiment, Published, SamplingConfig
    from graphattn.recipes.registry import RECIPES, recipe
    from graphattn.recipes.running import (
        Restored,
        build_model,
        load_data,
        open_run,
        restore,
        resume,
        run,
        take_split,
    )
    from graphattn.recipes.table import collect_reports, results_table

__all__ = [
    "RECIPES",
    "Calibration",
    "DataConfig",
    "Experiment",
    "Published",
    "Restored",
    "SamplingConfig",
    "build_model",
    "calibrate",
    "collect_reports",
    "load_data",
    "make_batches",
    "open_run",
    "recipe",
    "restore",
    "results_table",
    "resume",
    "run",
    "save_calibration",
    "take_split",
]

# No module here may have the name of a function: importing it would hide the function.
__getattr__ = lazy_exports(
    __name__,
    {
        "Calibration": "calibrating",
        "DataConfig": "experiment",
        "Experiment": "experiment",
        "Published": "experiment",
        "RECIPES": "registry",
        "Restored": "running",
        "SamplingConfig": "experiment",
        "build_model": "running",
        "calibrate": "calibrating",
        "collect_reports": "table",
        "load_data": "running",
        "make_batches": "batches",
        "open_run": "running",
        "recipe": "registry",
        "restore": "running",
        "results_table": "table",
        "resume": "running",
        "run": "running",
        "save_calibration": "calibrating",
        "take_split": "running",
    },
)
