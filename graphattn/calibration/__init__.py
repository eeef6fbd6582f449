"""Probabilities that can be trusted: calibrators, and conformal sets, for any node classifier."""

from graphattn.calibration.binning import reliability_bins, reliability_over_runs
from graphattn.calibration.cagcn import CaGCNScaler
from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.conformal import (
    APS,
    CFGNN,
    DAPS,
    NAPS,
    RAPS,
    SAPS,
    SNAPS,
    THR,
    ConformalPredictor,
    knn_graph,
    measure_sets,
    repeat_divisions,
)
from graphattn.calibration.dirichlet import DirichletScaler
from graphattn.calibration.ensemble import EnsembleScaler
from graphattn.calibration.factors import (
    distance_to_training,
    diversity,
    hops_to,
    neighbor_similarity,
    relative_confidence,
    under_confidence,
)
from graphattn.calibration.gats import GATSScaler
from graphattn.calibration.gets import GETSScaler
from graphattn.calibration.graph_measures import (
    degree_binned_gap,
    edge_calibration_error,
    group_calibration_error,
)
from graphattn.calibration.isotonic import IsotonicScaler
from graphattn.calibration.matrix import MatrixScaler
from graphattn.calibration.measures import (
    accuracy,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    kde_calibration_error,
    measure,
    negative_log_likelihood,
)
from graphattn.calibration.methods import CALIBRATORS, make_calibrator
from graphattn.calibration.order_invariant import OrderInvariantScaler
from graphattn.calibration.selective import RiskCoverage, risk_coverage
from graphattn.calibration.spline import SplineScaler
from graphattn.calibration.statistics import bootstrap_intervals, paired_table
from graphattn.calibration.temperature import TemperatureScaler
from graphattn.calibration.vector import VectorScaler
from graphattn.calibration.wats import WATSScaler

__all__ = [
    "APS",
    "CALIBRATORS",
    "CFGNN",
    "DAPS",
    "NAPS",
    "RAPS",
    "SAPS",
    "SNAPS",
    "THR",
    "CaGCNScaler",
    "Calibrator",
    "ConformalPredictor",
    "DirichletScaler",
    "EnsembleScaler",
    "GATSScaler",
    "GETSScaler",
    "IsotonicScaler",
    "MatrixScaler",
    "OrderInvariantScaler",
    "RiskCoverage",
    "SplineScaler",
    "TemperatureScaler",
    "VectorScaler",
    "WATSScaler",
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
    "knn_graph",
    "make_calibrator",
    "measure",
    "measure_sets",
    "negative_log_likelihood",
    "neighbor_similarity",
    "paired_table",
    "relative_confidence",
    "reliability_bins",
    "reliability_over_runs",
    "repeat_divisions",
    "risk_coverage",
    "under_confidence",
]
