"""No call from Python may crash the process, whatever it is given."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphattn.ops import (
    DotScore,
    GATScore,
    GATv2Score,
    GivenScore,
    _native,
    aero_attention,
    aero_propagate,
    attend,
    build_csr,
    edge_softmax,
    sample_neighbors,
    sparse_linear,
    spmm,
)

CALLS = 12_000
# What a malformed call may end with; anything else is a bug.
REFUSALS = (
    TypeError,
    ValueError,
    RuntimeError,
    IndexError,
    NotImplementedError,
    MemoryError,
    OverflowError,
)


def gat_attend(x: Any, src: Any, dst: Any, edge: Any, negative_slope: Any, **others: Any) -> Tensor:
    return attend(x, GATScore(src, dst, edge, negative_slope), **others)


def gatv2_attend(src: Any, dst: Any, att: Any, edge_x: Any, slope: Any, **others: Any) -> Tensor:
    return attend(src, GATv2Score(src, dst, att, edge_x, slope), **others)


def dot_attend(
    value: Any, query: Any, key: Any, edge_x: Any, edge_score: Any, scale: Any, **others: Any
) -> Tensor:
    return attend(value, DotScore(query, key, edge_x, edge_score, scale), **others)


def score_attend(x: Any, score: Any, **others: Any) -> Tensor:
    return attend(x, GivenScore(score), **others)


def well_formed() -> dict[Callable[..., Any], dict[str, Any]]:
    """Arguments that every op takes."""
    n, h, c, edges = 6, 2, 4, torch.randint(6, (2, 20))
    rows, weight, score = torch.randn(n, h, c), torch.randn(20, h), torch.randn(n, h)
    att = torch.randn(h, c)
    draw = {"dropout": 0.3, "seed": torch.tensor([5])}
    csr = build_csr(edges, num_src=n, num_dst=n)
    return {
        gat_attend: {
            "x": rows,
            "src": score,
            "dst": score,
            "edge_index": edges,
            "edge": torch.randn(26, h),
            "num_self_loops": n,
            "negative_slope": 0.2,
            "bias": att,
            **draw,
        },
        gatv2_attend: {
            "src": rows,
            "dst": rows,
            "att": att,
            "edge_index": edges,
            "edge_x": torch.randn(26, h, c),
            "num_self_loops": n,
            "slope": 0.2,
            **draw,
        },
        dot_attend: {
            "value": rows,
            "query": rows,
            "key": rows,
            "edge_index": edges,
            "edge_x": torch.randn(20, h, c),
            "edge_score": weight,
            "num_self_loops": 0,
            "scale": 0.5,
            **draw,
        },
        score_attend: {"x": rows, "score": weight, "edge_index": edges, "num_dst": n, **draw},
        spmm: {"x": rows, "weight": weight, "edge_index": edges, "num_dst": n},
        edge_softmax: {"score": weight, "index": edges[1], "num_nodes": n},
        aero_attention: {"z": rows, "edge_index": edges, "att": att},
        aero_propagate: {
            "x": rows,
            "edge_index": edges,
            "att": torch.randn(2, h, c),
            "hop_att_0": att,
            "hop_att": torch.randn(2, h, 2 * c),
            "hop_bias": torch.randn(3, h),
            "decay": [1.0, 0.5],
        },
        build_csr: {"edge_index": edges, "num_src": n, "num_dst": n},
        sample_neighbors: {
            "rowptr": csr.rowptr,
            "col": csr.col,
            "seeds": torch.tensor([0, 3]),
            "num_neighbors": [3, 2],
            "replace": False,
            "seed": 7,
        },
        sparse_linear: {
            "x": torch.eye(n).to_sparse_csr(),
            "weight": torch.randn(3, n),
            "bias": torch.randn(3),
        },
    }


def spoiled(value: Any, rng: random.Random) -> Any:
    """Something near a value that is probably wrong."""
    if isinstance(value, Tensor) and value.layout == torch.strided:
        return rng.choice(TENSORS)(value)
    if isinstance(value, Tensor):
        return rng.choice([value.to_dense(), value.double(), None, value.t()])
    if isinstance(value, list):
        return rng.choice([[], value * 3, [-1], [0], [2**40], ["a"], None, value[:1], [1.5]])
    if isinstance(value, bool):
        return rng.choice([None, 2, "yes", not value])
    if isinstance(value, int):
        return rng.choice([-1, 0, 1, value - 1, value + 1, 2**40, 2**62, -(2**63), 1.5, "6", None])
    return rng.choice([-1.0, 2.0, float("nan"), float("inf"), "0.5", None, 10**400])


TENSORS: list[Callable[[Tensor], Any]] = [
    lambda t: t[:-1],
    lambda t: t[:0],
    lambda t: t[..., :-1],
    lambda t: t[..., :0],
    lambda t: torch.cat([t, t]),
    lambda t: t.unsqueeze(0),
    lambda t: t.flatten(),
    lambda t: t.t() if t.dim() == 2 else t.transpose(0, -1),
    lambda t: t[:1].expand(t.shape),
    lambda t: t.flip(0),
    lambda t: torch.cat([t, t], dim=-1)[..., ::2],
    lambda t: t.long(),
    lambda t: t.int(),
    lambda t: t.double(),
    lambda t: t.half(),
    lambda t: t.bfloat16(),
    lambda t: t.bool(),
    lambda t: t.to(torch.complex64),
    lambda t: t.to(torch.uint8),
    lambda t: t.to("meta"),
    lambda t: t - 1,
    lambda t: t + 1,
    lambda t: t * 10**9,
    lambda t: t * 2**40,
    lambda t: torch.full_like(t, torch.iinfo(t.dtype).min if not t.dtype.is_floating_point else 0),
    lambda t: t * float("nan") if t.dtype.is_floating_point else t,
    lambda t: t.to_sparse(),
    lambda t: t.tolist(),
    lambda t: t.numpy(),
    lambda t: None,
    lambda t: 1,
]


def call_all(seed: int) -> None:
    """Make all calls; an exception that is no refusal ends it."""
    rng, seen = random.Random(seed), 0
    torch.manual_seed(seed)
    ops = well_formed()
    for op, arguments in ops.items():
        op(**arguments)
    for number in range(CALLS):
        op = rng.choice(list(ops))
        arguments = dict(ops[op])
        for name in rng.sample(list(arguments), rng.choice([1, 1, 1, 2, 3])):
            arguments[name] = spoiled(arguments[name], rng)
        leaf = next((v for v in arguments.values() if isinstance(v, Tensor)), None)
        if leaf is not None and leaf.is_floating_point() and leaf.layout == torch.strided:
            name = next(k for k, v in arguments.items() if v is leaf)
            arguments[name] = leaf.detach().requires_grad_()
        try:
            out = op(**arguments)
            if isinstance(out, Tensor) and out.requires_grad and out.device.type == "cpu":
                out.sum().backward()
        except REFUSALS:
            seen += 1
        except Exception as error:
            said = {k: getattr(v, "shape", v) for k, v in arguments.items()}
            raise AssertionError(f"call {number}, {op.__name__}({said})") from error
    print(f"{CALLS} calls, {seen} refused")  # noqa: T201


@pytest.mark.parametrize("implementation", ["reference", "cpu"])
def test_no_malformed_call_crashes(implementation: str) -> None:
    if implementation == "cpu" and (missing := _native.why_missing()) is not None:
        pytest.skip(f"the native library is {missing}")
    code = f"import runpy; runpy.run_path({__file__!r})['call_all'](0)"
    run = subprocess.run(
        # -P: import what is installed, not the sources of the folder that the tests are run from.
        [sys.executable, "-P", "-X", "faulthandler", "-W", "ignore", "-c", code],
        env={**os.environ, "GRAPHATTN_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    calls, refused = (int(word) for word in run.stdout.split() if word.isdigit())
    assert calls == CALLS
    assert refused > CALLS / 3
