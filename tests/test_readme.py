"""README says what the kept reports say, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graphattn.bench import load_tables, speed_table
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


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_code_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})
