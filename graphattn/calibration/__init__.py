"""Probabilities that can be trusted: calibrators for the logits of any node classifier."""

from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.gats import GATSScaler
from graphattn.calibration.temperature import TemperatureScaler

__all__ = ["Calibrator", "GATSScaler", "TemperatureScaler"]
