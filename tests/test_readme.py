"""README says what the kept reports say, and its code runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from graphattn.bench import load_tables, speed_table
from graphattn.data import load
from graphattn.recipes.table import collect_reports, results_table, to_markdown

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()


def block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end {name} -->", README, flags=re.DOTALL)
    assert found, f"README has no block {name!r}"
    return found[1].strip()


def test_results_table_is_that_of_the_reports() -> None:
    reports = collect_reports(REPOSITORY / "examples" / "results")
    assert block("results") == to_markdown(results_table(reports)).strip()


def test_speed_is_that_of_the_saved_rows() -> None:
    tables = load_tables(REPOSITORY / "examples" / "results" / "bench")
    assert block("speed") == speed_table(tables).strip()


def test_own_graph_in_three_lines(tmp_path: Path) -> None:
    transcript = re.search(r"```console\n(.*?)```", README, flags=re.DOTALL)
    assert transcript
    commands = re.findall(r"^\$ (.*)$", transcript[1], flags=re.MULTILINE)
    assert len(commands) == 3
    data, folder = load("digits"), tmp_path / "scans"
    folder.mkdir()
    nodes = pd.DataFrame(data.x.numpy()).add_prefix("pixel_").assign(label=data.y.numpy())
    nodes.insert(0, "id", "image" + nodes.index.astype(str))
    nodes.to_csv(folder / "nodes.csv", index=False)
    edges = pd.DataFrame(data.edge_index.t().numpy(), columns=["source", "target"])
    ("image" + edges.astype(str)).to_csv(folder / "edges.csv", index=False)
    # The same with fewer epochs.
    commands[1] += " --train.max-epochs 2"
    shown = [
        subprocess.run(
            f"{Path(sys.executable).parent}/{command}" if command[:9] == "graphattn" else command,
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for command in commands
    ]
    assert "image0" in shown[0]
    assert shown[1].count("test accuracy") == 3
    assert re.search(r"gat-scans-\w+-\w+ +\d+\.\d+ ± \d+\.\d+ +3 ", shown[2])


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_code_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})
