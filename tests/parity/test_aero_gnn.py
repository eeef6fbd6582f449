"""AERO-GNN against outputs and gradients of the authors' code.

`GRAPHATTN_PARITY` names another root of fixture folders (one per method) to check with the same
command; the array names are those of `fixtures/aero_gnn/README.md`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphattn.models import AEROGNN
from graphattn.nn import AEROConv, record_attention
from graphattn.ops import _native, use_implementation

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures")
FILES = sorted((ROOT / "aero_gnn").glob("*.npz"))
TOLERANCE = {"rtol": 0.0, "atol": 1e-10}
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


def fixture_name(parameter: str) -> str:
    """The fixture's name of a parameter, such as `mlp_weight_0` for `lins.0.weight`."""
    module, *place, last = parameter.split(".")
    if module == "lins":
        return f"mlp_{last}_{place[0]}"
    return f"out_{last}" if module == "lin_out" else last


def network(arrays: Arrays) -> AEROGNN:
    heads = int(arrays["cfg_heads"])
    model = AEROGNN(
        arrays["x"].size(1),
        heads * int(arrays["cfg_hidden"]),
        int(arrays["cfg_num_layers"]),
        len(arrays["out_bias"]),
        num_steps=int(arrays["cfg_iterations"]),
        heads=heads,
        lambd=float(arrays["cfg_lambd"]),
    ).double()
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.copy_(arrays[fixture_name(name)])
    return model


def first_steps(conv: AEROConv, steps: int) -> AEROConv:
    """A layer that takes only the first steps of another."""
    shorter = AEROConv(conv.channels, steps, conv.heads, conv.lambd).double()
    for name, parameter in shorter.named_parameters():
        with torch.no_grad():
            parameter.copy_(conv.get_parameter(name)[: len(parameter)])
    return shorter


def test_there_are_fixtures() -> None:
    assert FILES, f"no fixture below {ROOT / 'aero_gnn'}"


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_and_gradients(path: Path, implementation: str) -> None:
    arrays = load(path)
    model, x = network(arrays), arrays["x"].requires_grad_()
    with use_implementation(implementation):
        out = model(x, arrays["edge_index"])
        torch.testing.assert_close(out, arrays["logits"], **TOLERANCE)
        out.backward(arrays["cotangent"])
    torch.testing.assert_close(x.grad, arrays["grad_x"], **TOLERANCE)
    for name, parameter in model.named_parameters():
        expected = arrays[f"grad_{fixture_name(name)}"]
        torch.testing.assert_close(parameter.grad, expected, msg=name, **TOLERANCE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_attention_of_edges_and_hops(path: Path) -> None:
    arrays = load(path)
    model, edges = network(arrays), arrays["edge_index"]
    with record_attention(model) as records:
        torch.testing.assert_close(model(arrays["x"], edges), arrays["logits"], **TOLERANCE)
    *steps, hop = records
    assert all(torch.equal(step.edge_index, edges) for step in steps)
    alpha = torch.stack([step.alpha for step in steps])
    torch.testing.assert_close(alpha, arrays["edge_attention"], **TOLERANCE)
    torch.testing.assert_close(hop.alpha.transpose(0, 1), arrays["hop_attention"], **TOLERANCE)
    gamma = model.hop_attention(arrays["x"], edges).transpose(0, 1)
    torch.testing.assert_close(gamma, arrays["hop_attention"], **TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sums_after_every_step(path: Path, implementation: str) -> None:
    arrays = load(path)
    conv, h = network(arrays).conv, arrays["h"][0].flatten(1)
    one_more = AEROConv(1, conv.num_steps + 1, lambd=conv.lambd)
    decay = torch.tensor(one_more.decay, dtype=torch.float64)
    torch.testing.assert_close(decay, arrays["lambda_k"], **TOLERANCE)
    with use_implementation(implementation):
        for steps, expected in enumerate(arrays["z"]):
            z = first_steps(conv, steps)(h, arrays["edge_index"])
            torch.testing.assert_close(z, expected.flatten(1), **TOLERANCE)
