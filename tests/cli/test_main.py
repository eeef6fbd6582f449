from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphattn as package


def test_help_answers_at_once() -> None:
    code = """
import sys
from graphattn.cli import main
try:
    main(["--help"])
finally:
    slow = {"torch", "torch_geometric", "numpy", "pandas", "matplotlib"}
    print("imported", sorted(slow & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("imported []\n")


@pytest.mark.parametrize("command", ["train", "eval", "results", "datasets", "bench", "info"])
def test_every_command_has_help(graphattn: Callable[..., Any], command: str) -> None:
    done = graphattn(command, "--help")
    assert done.status == 0
    assert len(done.out) > 250
    assert ":class:" not in done.out
    assert command in graphattn("--help").out


def test_version(graphattn: Callable[..., Any]) -> None:
    assert graphattn("--version").out.strip() == f"graphattn {package.__version__}"


def test_unknown_command_and_option(graphattn: Callable[..., Any]) -> None:
    assert graphattn("trane").status == 2
    done = graphattn("train", "gat", "--model.headds", 4)
    assert done.status == 2
    assert "--model.heads" in done.out + done.err


def test_errors_hold_no_commands_for_the_terminal(
    graphattn: Callable[..., Any], tmp_path: Path
) -> None:
    done = graphattn("eval", tmp_path / "no\x1b[31mthing")
    assert done.status == 2
    assert r"no\x1b[31mthing" in done.err.replace(r"\\", "\\")
    assert "\x1b" not in done.err
