"""Probabilities that can be trusted: calibrators for the logits of any node classifier."""

from graphattn.calibration.binning import reliability_bins, reliability_over_runs
from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.factors import (
    distance_to_training,
    diversity,
    hops_to,
    neighbor_similarity,
    relative_confidence,
    under_confidence,
)
from graphattn.calibration.graph_measures import (
    degree_binned_gap,
    edge_calibration_error,
    group_calibration_error,
)
from graphattn.calibration.measures import (
    accuracy,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    kde_calibration_error,
    measure,
    negative_log_likelihood,
)
from graphattn.calibration.statistics import bootstrap_intervals, paired_table
from graphattn.calibration.temperature import TemperatureScaler

__all__ = [
    "Calibrator",
    "TemperatureScaler",
    "accuracy",
    "bootstrap_intervals",
    "brier_score",
    "classwise_calibration_error",
    "degree_binned_gap",
    "distance_to_training",
    "diversity",
    "edge_calibration_error",
    "expected_calibration_error",
    "group_calibration_error",
    "hops_to",
    "kde_calibration_error",
    "measure",
    "negative_log_likelihood",
    "neighbor_similarity",
    "paired_table",
    "relative_confidence",
    "reliability_bins",
    "reliability_over_runs",
    "under_confidence",
]
