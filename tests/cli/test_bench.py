from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_prints_and_saves_rows(
    graphattn: Callable[..., Any], tmp_path: Path, data_root: Path
) -> None:
    words = ["--repeats", 2, "--threads", 1, "--root", data_root, "--save", tmp_path]
    done = graphattn("bench", "cora-step", *words)
    assert done.status == 0, done.err
    saved = json.loads((tmp_path / "cora-step.json").read_text())
    assert saved["torch"]
    assert saved["cpu"]
    assert saved["command"].startswith("graphattn bench cora-step --repeats 2 --threads 1 --root")
    (case,) = saved["cases"]
    assert case["rows"][0]["contender"] == "PyG GATConv"
    assert all(row["errors"]["output error"] < 1e-5 for row in case["rows"])
    assert all(row["contender"] in done.out for row in case["rows"])
    assert "times faster than eager PyG" in done.out

    shown = graphattn("bench", "--table", tmp_path)
    assert shown.status == 0
    assert shown.out.startswith("| case | threads | ms |")
    assert "| cora-step | 1 |" in shown.out


def test_synthetic_graphs_can_be_scaled(graphattn: Callable[..., Any]) -> None:
    done = graphattn("bench", "sampler", "--repeats", 1, "--scale", 0.005)
    assert done.status == 0, done.err
    assert "million edges per second" in done.out
    assert graphattn("bench", "sampler", "--scale", 0).status == 2


def test_unknown_case(graphattn: Callable[..., Any]) -> None:
    done = graphattn("bench", "cora-stp")
    assert done.status == 2
    assert "unknown case 'cora-stp'; did you mean 'cora-step'" in done.err
