"""Probabilities that can be trusted: calibrators for the logits of any node classifier."""

from graphattn.calibration.cagcn import CaGCNScaler
from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.dirichlet import DirichletScaler
from graphattn.calibration.ensemble import EnsembleScaler
from graphattn.calibration.gets import GETSScaler
from graphattn.calibration.isotonic import IsotonicScaler
from graphattn.calibration.matrix import MatrixScaler
from graphattn.calibration.methods import CALIBRATORS, make_calibrator
from graphattn.calibration.order_invariant import OrderInvariantScaler
from graphattn.calibration.spline import SplineScaler
from graphattn.calibration.temperature import TemperatureScaler
from graphattn.calibration.vector import VectorScaler
from graphattn.calibration.wats import WATSScaler

__all__ = [
    "CALIBRATORS",
    "CaGCNScaler",
    "Calibrator",
    "DirichletScaler",
    "EnsembleScaler",
    "GETSScaler",
    "IsotonicScaler",
    "MatrixScaler",
    "OrderInvariantScaler",
    "SplineScaler",
    "TemperatureScaler",
    "VectorScaler",
    "WATSScaler",
    "make_calibrator",
]
