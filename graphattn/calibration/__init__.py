"""Probabilities that can be trusted: calibrators, and conformal sets, for any node classifier."""

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
from graphattn.calibration.selective import RiskCoverage, risk_coverage
from graphattn.calibration.temperature import TemperatureScaler

__all__ = [
    "APS",
    "CFGNN",
    "DAPS",
    "NAPS",
    "RAPS",
    "SAPS",
    "SNAPS",
    "THR",
    "Calibrator",
    "ConformalPredictor",
    "RiskCoverage",
    "TemperatureScaler",
    "knn_graph",
    "measure_sets",
    "repeat_divisions",
    "risk_coverage",
]
