"""The example scripts and the notebook run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient
from torch_geometric.data import Data

import graphattn.data
from graphattn.data import csbm

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("script", ["gat_cora.py", "gat_ogbn_arxiv.py"])
def test_script_learns(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The scripts name real data sets; here they get a small graph of the same form.
    def load(name: str, *, root: None, transform: object) -> Data:
        return transform(csbm(num_nodes=200, num_classes=3, num_features=16, seed=0))

    monkeypatch.setattr(graphattn.data, "load", load, raising=False)
    monkeypatch.setattr(sys, "argv", [script, "--epochs", "30", "--lr", "0.02"])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("Epoch 0")
    assert float(lines[-1].rpartition(" ")[2]) > 0.6


def test_calibration_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def load(name: str, *, root: None, transform: object) -> Data:
        return transform(csbm(num_nodes=300, num_classes=3, num_features=16, seed=0))

    monkeypatch.setattr(graphattn.data, "load", load, raising=False)
    monkeypatch.setattr(sys, "argv", ["calibrate_cora.py", "--epochs", "30"])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "calibrate_cora.py"), run_name="__main__")
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()[1:4]}
    assert list(rows) == ["uncalibrated", "temperature", "GATS"]
    assert len({row[0] for row in rows.values()}) == 1  # the same accuracy
    assert shown.count("mean size") == 2
    assert (tmp_path / "reliability.png").exists()


def test_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The kernel draws into the notebook unless another backend is asked for, and imports what lies
    # in the folder it runs in.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = jupytext.read(EXAMPLES / "notebooks" / "attention_weights.py")
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    text = str([cell.get("outputs") for cell in notebook.cells])
    assert "test accuracy 0.9" in text
    assert text.count("image/png") == 2
