"""Probabilities that can be trusted: calibrators, and conformal sets, for any node classifier."""

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
from graphattn.calibration.gets import GETSScaler
from graphattn.calibration.isotonic import IsotonicScaler
from graphattn.calibration.matrix import MatrixScaler
from graphattn.calibration.methods import CALIBRATORS, make_calibrator
from graphattn.calibration.order_invariant import OrderInvariantScaler
from graphattn.calibration.selective import RiskCoverage, risk_coverage
from graphattn.calibration.spline import SplineScaler
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
    "GETSScaler",
    "IsotonicScaler",
    "MatrixScaler",
    "OrderInvariantScaler",
    "RiskCoverage",
    "SplineScaler",
    "TemperatureScaler",
    "VectorScaler",
    "WATSScaler",
    "knn_graph",
    "make_calibrator",
    "measure_sets",
    "repeat_divisions",
    "risk_coverage",
]
