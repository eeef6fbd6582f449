from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_prints_and_saves_rows(
    graphattn: Callable[..., Any], tmp_path: Path, data_root: Path
) -> None:
    done = graphattn("bench", "cora-step", "--repeats", 2, "--root", data_root, "--save", tmp_path)
    assert done.status == 0, done.err
    saved = json.loads((tmp_path / "cora-step.json").read_text())
    assert saved["torch"]
    assert saved["rows"][0]["contender"] == "PyG GATConv"
    assert all(row["error"] < 1e-5 for row in saved["rows"])
    assert all(row["contender"] in done.out for row in saved["rows"])


def test_unknown_case(graphattn: Callable[..., Any]) -> None:
    done = graphattn("bench", "cora-stp")
    assert done.status == 2
    assert "unknown case 'cora-stp'; did you mean 'cora-step'" in done.err
