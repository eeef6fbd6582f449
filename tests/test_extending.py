"""What a new method costs: its file, its settings beside it, and its line in the table of methods.

Written into a copy of the package, it is trained, restored, tested, and listed like all others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graphattn

NETWORK = '''
"""A network of one layer that attends by distance."""

import torch
from torch import Tensor, nn

from graphattn.nn import AdditiveConv, Linear


class Near(nn.Module):
    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin_in = Linear(in_channels, hidden_channels)
        self.conv = AdditiveConv(hidden_channels, add_self_loops=True)
        self.lin_out = Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin_out(self.conv(torch.tanh(self.lin_in(x)), edge_index))
'''

SETTINGS = '''
"""Settings of the network of one layer."""

from dataclasses import asdict, dataclass

from graphattn.models.config import ModelConfig


@dataclass(frozen=True)
class NearConfig(ModelConfig):
    """A network of one layer."""

    hidden_channels: int = 32
    """Width of the hidden layer."""

    def build(self, in_channels, out_channels, edge_dim=None):
        from graphattn.models.near import Near

        return Near(in_channels, out_channels=out_channels, **asdict(self))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a copy of the package that has one method more."""
    package, installed = tmp_path / "graphattn", Path(graphattn.__file__).parent
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("__pycache__"))
    if (cards := installed.parent / "datasets").exists():  # the package of a checkout
        shutil.copytree(cards, tmp_path / "datasets")
    (package / "models" / "near.py").write_text(NETWORK)
    (package / "models" / "near_config.py").write_text(SETTINGS)
    table = package / "models" / "methods.py"
    text = table.read_text()
    anchor = '        "mlp": MLPConfig,\n'
    assert anchor in text
    text = text.replace(anchor, f'{anchor}        "near": NearConfig,\n')
    first = "from graphattn.models.mlp_config import MLPConfig\n"
    assert first in text
    more = "from graphattn.models.near_config import NearConfig\n"
    table.write_text(text.replace(first, first + more))
    return tmp_path


def call(folder: Path, *arguments: str) -> str:
    """What the command line of the copy prints."""
    code = "import sys; from graphattn.cli import main; sys.argv[0] = 'graphattn'; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_method_costs_its_files_and_a_line(folder: Path) -> None:
    shown = call(folder, "train", "near", "--help")
    assert "Width of the hidden layer." in shown
    assert "(default: 32)" in shown
    out = call(
        folder,
        *("train", "near", "--model.hidden-channels", "16", "--train.max-epochs", "40"),
        *("--train.lr", "0.05", "--seeds", "0-1"),
    )
    assert "near-digits" in out
    runs = sorted((folder / "runs").rglob("report.json"))
    assert len(runs) == 2
    tested = call(folder, "eval", str(runs[0].parent))
    assert "accuracy" in tested
    assert "near-digits" in call(folder, "results", "runs")
