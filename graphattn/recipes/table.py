"""Tables of results, computed from the reports of runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from graphattn._core.files import write_atomically
from graphattn.recipes.registry import RECIPES, recipe
from graphattn.train import Report

__all__ = ["collect_reports", "keep_reports", "results_table", "to_markdown", "to_text"]


def collect_reports(root: str | os.PathLike[str]) -> list[Report]:
    """Read all reports below a folder; of one recipe and seed the newest.

    Args:
        root: A folder of run folders, or of reports that :func:`keep_reports` has kept.

    Raises:
        ValueError: If there is no report, or one is damaged.
    """
    # Run folders carry their time, so the order of names is that of time.
    paths = sorted(Path(root).rglob("report.json"), key=lambda path: path.parent.name)
    if not paths:
        raise ValueError(f"no report.json below {str(root)!r}; `graphattn train` makes them")
    found: dict[tuple[str, int], Report] = {}
    for path in paths:
        try:
            report = Report.from_dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no report: {error}") from error
        found[report.name, report.seed] = report
    return list(found.values())


def keep_reports(reports: Iterable[Report], folder: str | os.PathLike[str]) -> None:
    """Write reports where a table is to be made from them: ``<recipe>/seed<k>/report.json``.

    Reports of the same recipes that were kept before are replaced, all seeds of them.

    Raises:
        OSError: If the folder can't be written.
    """
    kept = list(reports)
    for name in {report.name for report in kept}:
        for old in Path(folder, name).glob("seed*/report.json"):
            old.unlink()
    for report in kept:
        place = Path(folder, report.name, f"seed{report.seed}")
        place.mkdir(parents=True, exist_ok=True)
        content = (json.dumps(report.to_dict(), indent=2) + "\n").encode()
        write_atomically(place / "report.json", partial(_write, content))


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def results_table(reports: Iterable[Report]) -> pd.DataFrame:
    """Measured beside published results, in percent.

    Args:
        reports: One per run.

    Returns:
        One row per recipe, in the order of :data:`~graphattn.recipes.RECIPES`, others behind:
        ``recipe``, ``mean``, ``sd`` (sample deviation), ``n``, ``published``, ``published_sd``,
        ``difference``, ``source``, ``note``.
    """
    grouped: dict[str, list[float]] = {}
    for report in reports:
        grouped.setdefault(report.name, []).append(100 * report.test_metric)
    order = {name: place for place, name in enumerate(RECIPES)}
    rows = []
    for name in sorted(grouped, key=lambda name: (order.get(name, len(order)), name)):
        values = pd.Series(grouped[name])
        experiment = recipe(name) if name in RECIPES else None
        published = experiment.published if experiment else None
        rows.append(
            {
                "recipe": name,
                "mean": values.mean(),
                "sd": values.std(),
                "n": len(values),
                "published": published.mean if published else None,
                "published_sd": published.sd if published else None,
                "difference": values.mean() - published.mean if published else None,
                "source": published.source if published else "",
                "note": experiment.note if experiment else "",
            }
        )
    return pd.DataFrame(rows)


def to_markdown(table: pd.DataFrame) -> str:
    """The table of :func:`results_table` as Markdown, with the notes below it."""
    shown = _as_text(table)
    lines = [
        "| " + " | ".join(shown.columns) + " |",
        "|---" * len(shown.columns) + "|",
    ]
    notes = [note for note in table["note"] if note]
    for note, cells in zip(table["note"], shown.itertuples(index=False), strict=True):
        mark = f" [{notes.index(note) + 1}]" if note else ""
        lines.append(f"| `{cells[0]}`{mark} | " + " | ".join(map(str, cells[1:])) + " |")
    footer = [f"[{number}] {note}\n" for number, note in enumerate(notes, start=1)]
    return "\n".join([*lines, "", *footer]).rstrip() + "\n"


def to_text(table: pd.DataFrame) -> str:
    """The table of :func:`results_table` for a terminal."""
    notes = [
        f"{row_name}: {note}"
        for row_name, note in zip(table["recipe"], table["note"], strict=True)
        if note
    ]
    return "\n".join([_as_text(table).to_string(index=False), *notes])


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Columns to show, with mean and deviation in one."""
    return pd.DataFrame(
        {
            "recipe": table["recipe"],
            "measured, %": [
                _spread(*pair) for pair in zip(table["mean"], table["sd"], strict=True)
            ],
            "n": table["n"],
            "published, %": [
                _spread(*pair)
                for pair in zip(table["published"], table["published_sd"], strict=True)
            ],
            "difference": [_signed(value) for value in table["difference"]],
            "source": table["source"],
        }
    )


def _spread(mean: float | None, sd: float | None) -> str:
    if mean is None or pd.isna(mean):
        return "-"
    return f"{mean:.2f}" if sd is None or pd.isna(sd) else f"{mean:.2f} ± {sd:.2f}"


def _signed(value: float | None) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:+.2f}"
