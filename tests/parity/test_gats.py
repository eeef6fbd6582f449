"""Calibrators that GATS is compared with, against the code of GATS.

`GRAPHATTN_PARITY` names another root of fixture folders, as for `test_aero_gnn.py`; the array
names are those of `fixtures/gats/README.md`. The layer of GATS is in `test_gats_layer.py`.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from typing_extensions import override

from graphattn.calibration import (
    CaGCNScaler,
    DirichletScaler,
    EnsembleScaler,
    IsotonicScaler,
    OrderInvariantScaler,
    SplineScaler,
    TemperatureScaler,
    VectorScaler,
)
from graphattn.calibration.calibrator import Calibrator

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures")
VALUES = {"rtol": 0.0, "atol": 1e-10}
FITTED = {"rtol": 0.0, "atol": 1e-8}
SOLVED = {"rtol": 0.0, "atol": 1e-6}

Arrays = dict[str, Tensor]
C = TypeVar("C", bound=Calibrator)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    with np.load(ROOT / "gats" / "calibrators.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def fitted(scaler: C, arrays: Arrays) -> C:
    return scaler.fit(
        arrays["logits"],
        arrays["labels"],
        val_mask=arrays["val_mask"],
        train_mask=arrays["train_mask"],
    )


def log_probs(scaler: Calibrator, arrays: Arrays) -> Tensor:
    with torch.no_grad():
        return scaler(arrays["logits"]).log_softmax(dim=1)


def copy_into(parameter: Tensor, value: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(value)


def test_temperature(arrays: Arrays) -> None:
    scaler = fitted(TemperatureScaler(published=True), arrays)
    torch.testing.assert_close(scaler.temperature.data, arrays["ts_temperature"], **FITTED)
    torch.testing.assert_close(log_probs(scaler, arrays), arrays["ts_log_prob"], **FITTED)


def test_vector(arrays: Arrays) -> None:
    scaler = fitted(VectorScaler(4, published=True), arrays)
    torch.testing.assert_close(scaler.weight.data, arrays["vs_scale"], **FITTED)
    assert torch.equal(scaler.bias.data, arrays["vs_bias"])
    torch.testing.assert_close(log_probs(scaler, arrays), arrays["vs_log_prob"], **FITTED)


def test_ensemble(arrays: Arrays) -> None:
    scaler = fitted(EnsembleScaler(published=True), arrays)
    found = scaler.scaler.temperature.data
    torch.testing.assert_close(found, arrays["ets_temperature"], **FITTED)
    torch.testing.assert_close(scaler.weights, arrays["ets_weights"], **SOLVED)
    torch.testing.assert_close(log_probs(scaler, arrays), arrays["ets_log_prob"], **SOLVED)


def test_cagcn(arrays: Arrays) -> None:
    scaler = CaGCNScaler(4).double().eval()
    names = {
        "gcn.lin1.weight": "cagcn_l1_weight",
        "gcn.lin1.bias": "cagcn_l1_bias",
        "gcn.lin2.weight": "cagcn_l2_weight",
        "gcn.lin2.bias": "cagcn_l2_bias",
    }
    for name, parameter in scaler.named_parameters():
        copy_into(parameter, arrays[names[name]])
    logits, mask = arrays["logits"], arrays["val_mask"]
    out = scaler(logits, arrays["edge_index"], arrays["train_mask"])
    expected = logits * arrays["cagcn_scale"].unsqueeze(1)
    torch.testing.assert_close(out.detach(), expected, **VALUES)
    loss = scaler.loss(out[mask], arrays["labels"][mask])
    torch.testing.assert_close(loss.detach(), arrays["cagcn_val_nll"].reshape(()), **VALUES)
    loss.backward()
    for name, parameter in scaler.named_parameters():
        torch.testing.assert_close(parameter.grad, arrays[f"grad_{names[name]}"], **FITTED)


class StartedDirichlet(DirichletScaler):
    """Starts from given parameters, and notes what there is before every step."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.noted: list[tuple[float, float, dict[str, Tensor]]] = []
        weight = float(arrays["dir_lambda_mu"])
        super().__init__(4, off_diagonal=weight, intercept=weight)

    @override
    def reset_parameters(self) -> None:
        copy_into(self.linear.weight, self.arrays["dir_init_W"])
        copy_into(self.linear.bias, self.arrays["dir_init_b"])

    @override
    def penalty(self) -> Tensor:
        found = super().penalty()
        mask = self.arrays["train_mask"]
        with torch.no_grad():
            out = self.calibrate(self.arrays["logits"][mask].log_softmax(dim=1))
            loss = cross_entropy(out, self.arrays["labels"][mask])
        state = {name: value.clone() for name, value in self.state_dict().items()}
        self.noted.append((loss.item(), found.item(), state))
        return found


def test_dirichlet(arrays: Arrays) -> None:
    scaler = fitted(StartedDirichlet(arrays), arrays)
    ours = scaler.linear.weight.detach().clone()
    # The published code compares the loss before a step with the penalty after it.
    noted = scaler.noted
    sums = [loss + after for (loss, _, _), (_, after, _) in pairwise(noted)]
    scaler.load_state_dict(noted[sums.index(min(sums)) + 1][2])
    torch.testing.assert_close(scaler.linear.weight.data, arrays["dir_W"], **FITTED)
    torch.testing.assert_close(scaler.linear.bias.data, arrays["dir_b"], **FITTED)
    torch.testing.assert_close(log_probs(scaler, arrays), arrays["dir_log_prob"], **FITTED)
    # Our own stop is one step away.
    torch.testing.assert_close(ours, arrays["dir_W"], rtol=0.0, atol=2e-3)


def test_isotonic(arrays: Arrays) -> None:
    found = log_probs(fitted(IsotonicScaler(), arrays), arrays)
    torch.testing.assert_close(found, arrays["irm_log_prob"], **VALUES)


def test_spline(arrays: Arrays) -> None:
    found = log_probs(fitted(SplineScaler(published=True), arrays), arrays)
    torch.testing.assert_close(found, arrays["spline_log_prob"], **VALUES)


def test_order_invariant(arrays: Arrays) -> None:
    scaler = OrderInvariantScaler(4).double()
    for name, parameter in scaler.named_parameters():
        copy_into(parameter, arrays[f"oi_{name.replace('lin', 'l').replace('.', '_')}"])
    out = scaler(arrays["logits"]).detach()
    torch.testing.assert_close(out, arrays["oi_logits"], **VALUES)


def test_arrays_are_those_of_one_graph(arrays: Arrays) -> None:
    before = cross_entropy(
        arrays["logits"][arrays["val_mask"]], arrays["labels"][arrays["val_mask"]]
    )
    assert arrays["cagcn_val_nll"] != before
    assert int(arrays["edge_index"].max()) < len(arrays["labels"])
