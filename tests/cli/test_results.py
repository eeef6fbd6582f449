from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


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


def report(name: str, seed: object = 0) -> dict[str, object]:
    figures = {
        f"{split}_{figure}": 0.5
        for split in ("train", "val", "test")
        for figure in ("loss", "metric")
    }
    words = {"split": "", "metric": "accuracy", "device": "cpu"}
    counts = {"best_epoch": 1, "epochs": 2, "parameters": 3, "seconds": 1.0}
    return {"name": name, "seed": seed, **words, **figures, **counts}


def write(folder: Path, values: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(values))
    return folder / "report.json"


@pytest.mark.parametrize(
    ("name", "seed"),
    [("../victim", 0), ("/{victim}", 0), ("a/../../victim", 0), ("toy", "0/../../../victim")],
)
def test_keep_never_leaves_its_folder(
    graphattn: Callable[..., Any], tmp_path: Path, name: str, seed: object
) -> None:
    victim = write(tmp_path / "victim" / "seed0", report("victim"))
    name = name.format(victim=str(tmp_path / "victim").strip("/"))
    write(tmp_path / "runs" / "a", report(name, seed))
    before = {path: path.read_bytes() for path in tmp_path.rglob("report.json")}
    done = graphattn("results", tmp_path / "runs", "--keep", tmp_path / "kept")
    assert done.status == 2
    assert "must be" in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("report.json")} == before
    assert victim in before


def test_damaged_reports_and_unfinished_runs_do_not_stop_the_table(
    graphattn: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "good", report("toy\x1b]0;owned\x07"))
    write(tmp_path / "bad", {"name": "x"})
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "report.json")
    (tmp_path / "20260101-000000Z-seed0").mkdir()
    (tmp_path / "20260101-000000Z-seed0" / "config.yaml").write_text("{}")
    for form in ((), ("--markdown",)):
        done = graphattn("results", tmp_path, *form)
        assert done.status == 0
        assert r"toy\x1b]0;owned\x07" in done.out
        assert "\x1b" not in done.out
    said = " ".join(caplog.messages)
    assert "bad/report.json is no report: the report lacks seed" in said
    assert "pipe/report.json must be a regular file" in said
    assert f"graphattn train --resume {tmp_path}/20260101-000000Z-seed0" in said


def test_a_folder_of_unfinished_runs_says_how_to_go_on(
    graphattn: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "20260101-000000Z-seed0").mkdir()
    (tmp_path / "20260101-000000Z-seed0" / "config.yaml").write_text("{}")
    done = graphattn("results", tmp_path)
    assert done.status == 2
    assert f"graphattn train --resume {tmp_path}/20260101-000000Z-seed0" in done.err
