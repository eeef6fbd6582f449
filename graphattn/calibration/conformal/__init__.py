"""Conformal prediction: sets of classes with a promise, and what to measure of them."""

from graphattn.calibration.conformal.cf_gnn import CFGNN, set_size_loss
from graphattn.calibration.conformal.divisions import repeat_divisions
from graphattn.calibration.conformal.graph_scores import DAPS, SNAPS
from graphattn.calibration.conformal.knn import knn_graph
from graphattn.calibration.conformal.measures import (
    SIZE_RANGES,
    SetMeasures,
    coverage_by_group,
    coverage_by_size,
    coverage_interval,
    equal_count_bins,
    measure_sets,
    node_homophily,
)
from graphattn.calibration.conformal.naps import NAPS
from graphattn.calibration.conformal.predictor import ConformalPredictor, draw
from graphattn.calibration.conformal.quantile import (
    class_thresholds,
    conformal_rank,
    conformal_threshold,
)
from graphattn.calibration.conformal.scores import APS, RAPS, SAPS, THR, Score

__all__ = [
    "APS",
    "CFGNN",
    "DAPS",
    "NAPS",
    "RAPS",
    "SAPS",
    "SIZE_RANGES",
    "SNAPS",
    "THR",
    "ConformalPredictor",
    "Score",
    "SetMeasures",
    "class_thresholds",
    "conformal_rank",
    "conformal_threshold",
    "coverage_by_group",
    "coverage_by_size",
    "coverage_interval",
    "draw",
    "equal_count_bins",
    "knn_graph",
    "measure_sets",
    "node_homophily",
    "repeat_divisions",
    "set_size_loss",
]
