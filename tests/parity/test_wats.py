"""WATS against the authors' code.

`GRAPHATTN_PARITY` names another root of fixture folders, as for `test_aero_gnn.py`; the array
names are those of `fixtures/conformal/README.md`.
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

from graphattn.calibration import WATSScaler
from graphattn.calibration.wats import Coefficients, wavelet_coefficients, wavelet_features

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures")
FILES = sorted((ROOT / "conformal").glob("wats_*.npz"))
VALUES = {"rtol": 0.0, "atol": 1e-10}
FITTED = {"rtol": 0.0, "atol": 1e-8}
KINDS: dict[str, tuple[int, float, Coefficients]] = {
    "exp_K4_s04": (4, 0.4, "exponential"),
    "formal_K2_s12": (2, 1.2, "integral"),
    "formal_K3_s20": (3, 2.0, "integral"),
    "heat_K4_s04": (4, 0.4, "heat"),
}
NAMES = {
    "lin1.weight": "fc1_weight",
    "lin1.bias": "fc1_bias",
    "lin2.weight": "fc2_weight",
    "lin2.bias": "fc2_bias",
}

Arrays = dict[str, Tensor]


def load(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


class StartedWATS(WATSScaler):
    """Starts from given parameters, without dropout."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(hidden_channels=len(arrays["param_fc1_bias"]), dropout=0.0)
        self.start = arrays
        self.double().reset_parameters()

    @override
    def reset_parameters(self) -> None:
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(self.start[f"param_{NAMES[name]}"])


def mask_of(index: Tensor, num_nodes: int) -> Tensor:
    mask = torch.zeros(num_nodes, dtype=torch.bool)
    mask[index] = True
    return mask


def test_there_are_fixtures() -> None:
    assert FILES, f"no fixture below {ROOT / 'conformal'}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", KINDS)
def test_features(path: Path, kind: str) -> None:
    arrays = load(path)
    coefficients = wavelet_coefficients(*KINDS[kind])
    expected = arrays[f"coef_{kind}"]
    torch.testing.assert_close(torch.tensor(coefficients, dtype=torch.float64), expected, **VALUES)
    found = wavelet_features(
        arrays["edge_index"], len(arrays["labels"]), coefficients, dtype=torch.float64
    )
    torch.testing.assert_close(found, arrays[f"feat_{kind}"], **VALUES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_temperatures_and_gradients(path: Path) -> None:
    arrays = load(path)
    scaler = StartedWATS(arrays).eval()
    logits, val = arrays["logits"], arrays["val_idx"]
    found = scaler.temperatures(arrays["feat_exp_K4_s04"]).detach().squeeze(1)
    torch.testing.assert_close(found, arrays["temperature"], **VALUES)
    train_mask = mask_of(arrays["train_idx"], len(logits))
    out = scaler(logits, arrays["edge_index"], train_mask)
    torch.testing.assert_close(out.softmax(dim=1).detach(), arrays["calibrated_probs"], **VALUES)
    loss = cross_entropy(out[val], arrays["labels"][val])
    torch.testing.assert_close(loss.detach(), arrays["val_nll"].reshape(()), **VALUES)
    loss.backward()
    for name, parameter in scaler.named_parameters():
        torch.testing.assert_close(parameter.grad, arrays[f"grad_{NAMES[name]}"], **FITTED)


def test_the_whole_fit() -> None:
    arrays = load(ROOT / "conformal" / "wats_undirected.npz")
    logits, labels = arrays["logits"], arrays["labels"]
    masks = {name: mask_of(arrays[f"{name}_idx"], len(logits)) for name in ("val", "train")}
    scaler = StartedWATS(arrays).fit(
        logits,
        labels,
        arrays["edge_index"],
        val_mask=masks["val"],
        train_mask=masks["train"],
    )
    for name, parameter in scaler.named_parameters():
        torch.testing.assert_close(parameter.data, arrays[f"fit_{NAMES[name]}"], **FITTED)
    with torch.no_grad():
        out = scaler(logits, arrays["edge_index"], masks["train"])
        found = scaler.temperatures(arrays["feat_exp_K4_s04"]).squeeze(1)
    torch.testing.assert_close(found, arrays["fit_temperature"], **FITTED)
    for name, mask in masks.items():
        loss = cross_entropy(out[mask], labels[mask])
        torch.testing.assert_close(loss, arrays[f"fit_{name}_nll"].reshape(()), **FITTED)
