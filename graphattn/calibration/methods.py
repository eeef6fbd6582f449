"""All calibrators by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from graphattn._core.errors import unknown_name
from graphattn.calibration.cagcn import CaGCNScaler
from graphattn.calibration.calibrator import Calibrator
from graphattn.calibration.dirichlet import DirichletScaler
from graphattn.calibration.ensemble import EnsembleScaler
from graphattn.calibration.gats import GATSScaler
from graphattn.calibration.gets import GETSScaler
from graphattn.calibration.isotonic import IsotonicScaler
from graphattn.calibration.matrix import MatrixScaler
from graphattn.calibration.order_invariant import OrderInvariantScaler
from graphattn.calibration.spline import SplineScaler
from graphattn.calibration.temperature import TemperatureScaler
from graphattn.calibration.vector import VectorScaler
from graphattn.calibration.wats import WATSScaler

__all__ = ["CALIBRATORS", "make_calibrator"]

CALIBRATORS: Mapping[str, type[Calibrator]] = MappingProxyType(
    {
        "temperature": TemperatureScaler,
        "vector": VectorScaler,
        "matrix": MatrixScaler,
        "ets": EnsembleScaler,
        "dirichlet": DirichletScaler,
        "isotonic": IsotonicScaler,
        "spline": SplineScaler,
        "order_invariant": OrderInvariantScaler,
        "cagcn": CaGCNScaler,
        "gats": GATSScaler,
        "wats": WATSScaler,
        "gets": GETSScaler,
    }
)
"""Classes by the names that the command line uses."""


def make_calibrator(name: str, num_classes: int, **options: Any) -> Calibrator:
    """Make a calibrator by its name.

    Args:
        name: A key of :data:`CALIBRATORS`.
        num_classes: Number of classes; calibrators for any number are not told.
        **options: Settings of the class, such as ``lr`` or ``published``.

    Raises:
        TypeError: If the class has no such setting, or one has another type.
        ValueError: If there is no such name, or a setting is out of its range.

    Example:
        >>> make_calibrator("wats", 7, hidden_channels=8).needs_graph
        True
    """
    if name not in CALIBRATORS:
        raise unknown_name("calibrator", name, CALIBRATORS)
    kind = CALIBRATORS[name]
    known = inspect.signature(kind).parameters
    for option in options:
        if option not in known:
            raise TypeError(
                f"{kind.__name__} has no setting {option!r} (known: {', '.join(sorted(known))})"
            )
    if "num_classes" in known:
        options["num_classes"] = num_classes
    return kind(**options)
