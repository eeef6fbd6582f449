"""GATS against outputs, gradients and a whole fit of the authors' code.

`GRAPHATTN_PARITY` names another root of fixture folders (one per method) to check with the same
command; the array names are those of `fixtures/gats/README.md`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from typing_extensions import override

from graphattn.calibration import GATSScaler
from graphattn.ops import _native, use_implementation

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures")
LAYERS = sorted((ROOT / "gats").glob("layer_*.npz"))
TRAJECTORY = ROOT / "gats" / "fit_trajectory.npz"
VALUES = {"rtol": 0.0, "atol": 1e-10}
GRADIENTS = {"rtol": 0.0, "atol": 1e-8}
IMPLEMENTATIONS = [
    "reference",
    pytest.param(
        "cpu",
        marks=pytest.mark.skipif(
            _native.why_missing() is not None, reason="the native library was not built"
        ),
    ),
]

Arrays = dict[str, Tensor]


def load(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def parameters(arrays: Arrays, prefix: str = "") -> Arrays:
    """Arrays of the authors' parameters, under our names."""
    gamma = [arrays[f"{prefix}gamma_train"], arrays[f"{prefix}gamma_dist1"]]
    return {
        "weight": arrays[f"{prefix}w_theta"],
        "confidence_weight": arrays[f"{prefix}conf_coef"],
        "temperature": arrays[f"{prefix}bias_T0"],
        "gamma": torch.cat(gamma),
    }


def published(arrays: Arrays) -> GATSScaler:
    heads, classes = arrays["w_theta"].shape
    scaler = GATSScaler(classes, heads, published=True).double()
    scaler.load_state_dict(parameters(arrays))
    return scaler


def test_there_are_fixtures() -> None:
    assert len(LAYERS) == 3
    assert TRAJECTORY.is_file()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("path", [*LAYERS, TRAJECTORY], ids=lambda path: path.stem)
def test_values_and_gradients(path: Path, implementation: str) -> None:
    arrays = load(path)
    scaler = published(arrays)
    train_mask = arrays["train_mask"].bool()
    with use_implementation(implementation):
        for wanted in ("grad", "vjp"):
            scaler.zero_grad()
            logits = arrays["logits"].clone().requires_grad_()
            graph = (logits, arrays["edge_index"], train_mask)
            temperature, calibrated = scaler.node_temperatures(*graph), scaler(*graph)
            torch.testing.assert_close(temperature, arrays["temperature"], **VALUES)
            torch.testing.assert_close(calibrated, arrays["calibrated_logits"], **VALUES)
            if wanted == "grad":
                val_mask = arrays["val_mask"].bool()
                loss = cross_entropy(calibrated[val_mask], arrays["labels"][val_mask])
                torch.testing.assert_close(loss, arrays["val_nll"], **VALUES)
                loss.backward()
            else:
                (temperature * arrays["vjp_weight"]).sum().backward()
            right = parameters(arrays, f"{wanted}_")
            found = {name: one.grad for name, one in scaler.named_parameters()}
            torch.testing.assert_close(found, right, **GRADIENTS)
            torch.testing.assert_close(logits.grad, arrays[f"{wanted}_logits"], **GRADIENTS)


class _FromTheirStart(GATSScaler):
    """Starts a fit from the weight that the authors' fit started from."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        super().__init__(
            arrays["w_theta"].size(1),
            int(arrays["heads"]),
            initial_temperature=float(arrays["fit_bias_init"]),
            published=True,
            weight_decay=float(arrays["fit_weight_decay"]),
        )

    @override
    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.weight.copy_(self.arrays["fit_init_w_theta"])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_whole_fit(implementation: str) -> None:
    arrays = load(TRAJECTORY)
    train_mask, val_mask = arrays["train_mask"].bool(), arrays["val_mask"].bool()
    graph = (arrays["logits"], arrays["edge_index"])
    with use_implementation(implementation):
        scaler = _FromTheirStart(arrays)
        scaler.fit(graph[0], arrays["labels"], graph[1], train_mask=train_mask, val_mask=val_mask)
        right = parameters(arrays, "fit_")
        torch.testing.assert_close(dict(scaler.named_parameters()), right, **GRADIENTS)
        found = scaler.node_temperatures(*graph, train_mask)
        torch.testing.assert_close(found, arrays["fit_temperature"], **GRADIENTS)
