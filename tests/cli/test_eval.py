from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    "settings", [(), ("--sampling.num-neighbors", 3, 2, "--train.metric", "macro_f1")]
)
def test_gives_the_figures_of_the_report(
    graphattn: Callable[..., Any], tmp_path: Path, settings: tuple[Any, ...]
) -> None:
    words = ("train", "gat", "--runs", tmp_path, "--no-progress", "--train.max-epochs", 5)
    graphattn(*words, *settings)
    (report,) = tmp_path.rglob("report.json")
    done = graphattn("eval", report.parent)
    assert done.status == 0, done.err
    figures = json.loads(report.read_text())
    others = done.out.splitlines()[1].replace(", %", "").split()[3:]
    assert "macro_f1" in done.out.splitlines()[1]
    for split in ("train", "val", "test"):
        row = next(line for line in done.out.splitlines() if line.split()[:1] == [split])
        assert row.split()[1:] == [
            f"{figures[f'{split}_loss']:.4f}",
            f"{100 * figures[f'{split}_metric']:.2f}",
            *[f"{100 * figures['metrics'][f'{split}_{name}']:.2f}" for name in others],
        ]


def test_a_truncated_checkpoint(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    graphattn("train", "gat", "--runs", tmp_path, "--no-progress", "--train.max-epochs", 2)
    (weights,) = tmp_path.rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    done = graphattn("eval", weights.parent)
    assert done.status == 2
    assert "model.safetensors" in done.err


def test_a_run_that_is_not_finished(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    graphattn("train", "gat", "--runs", tmp_path, "--no-progress", "--train.max-epochs", 2)
    (report,) = tmp_path.rglob("report.json")
    report.unlink()
    done = graphattn("eval", report.parent)
    assert done.status == 2
    assert f"graphattn train --resume {report.parent}" in done.err
    assert graphattn("train", "--resume", report.parent, "--no-progress").status == 0
    assert graphattn("eval", report.parent).status == 0
