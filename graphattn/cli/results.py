"""``graphattn results``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

__all__ = ["Results"]


@dataclass(frozen=True)
class Results:
    """Compare runs with published numbers, one row per recipe.

    Reads every report.json below a folder; of one recipe and seed the newest counts, as the UTC
    times in the names of run folders say. Damaged reports and unfinished runs are named.
    """

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Folder of runs, or of kept reports."""
    markdown: bool = False
    """Print the table as Markdown."""
    keep: Path | None = None
    """Also copy the reports into this folder, where a table is to be made from them."""

    def run(self) -> int:
        """Print the table."""
        from graphattn.recipes.table import (
            collect_reports,
            keep_reports,
            results_table,
            to_markdown,
            to_text,
        )

        reports = collect_reports(self.folder)
        if self.keep is not None:
            keep_reports(reports, self.keep)
        table = results_table(reports)
        print((to_markdown if self.markdown else to_text)(table))
        return 0
