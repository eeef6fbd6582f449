from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_table_and_kept_reports(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    runs, kept = tmp_path / "runs", tmp_path / "kept"
    graphattn(
        "train", "gat", "--seeds", "0-1", "--runs", runs, "--no-progress", "--train.max-epochs", 2
    )
    done = graphattn("results", runs, "--keep", kept)
    assert done.status == 0, done.err
    assert "gat-digits" in done.out
    assert graphattn("results", kept).out == done.out
    assert graphattn("results", kept, "--markdown").out.startswith("| recipe |")


def test_a_folder_without_runs(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    done = graphattn("results", tmp_path)
    assert done.status == 2
    assert "no report.json below" in done.err
