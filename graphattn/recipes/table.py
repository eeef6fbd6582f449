"""Tables of results, computed from the reports of runs."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from graphattn._core.checks import check_seed
from graphattn._core.files import relative_path, write_atomically
from graphattn._core.text import printable
from graphattn.recipes.registry import RECIPES, recipe
from graphattn.train import Report
from graphattn.train.report import read_report

__all__ = ["collect_reports", "keep_reports", "results_table", "to_markdown", "to_text"]

logger = logging.getLogger("graphattn")

_RUN = re.compile(r"(\d{8}-\d{6})(Z?)-seed\d+(?:-(\d+))?")
_SHOWN = 10


def collect_reports(root: str | os.PathLike[str]) -> list[Report]:
    """Read all reports below a folder; of one recipe and seed the newest.

    The name of a run folder tells its time, in UTC if a ``Z`` is behind it (as
    :meth:`~graphattn.train.RunFolder.create` makes them) and else in local time; of several in a
    second the number at the end tells the order. What has no such name counts as older.

    A report that can't be read is left out, with a warning that says why; so are runs that are not
    finished, with a warning that says how to go on.

    Args:
        root: A folder of run folders, or of reports that :func:`keep_reports` has kept.

    Raises:
        ValueError: If there is no report that can be read.
    """
    folders = list(_folders(Path(root)))
    found: dict[tuple[str, int], Report] = {}
    damaged = []
    for folder in folders:
        if not os.path.lexists(folder / "report.json"):
            continue
        try:
            report = read_report(folder / "report.json")
        except (ValueError, OSError) as error:
            damaged.append(printable(str(error)))
        else:
            found[report.name, report.seed] = report
    hints = [*damaged, *_unfinished(folders)]
    if not found:
        hints = hints or ["`graphattn train` makes them"]
        raise ValueError(
            "\n".join([f"no report.json below {str(root)!r} that can be read", *hints])
        )
    for hint in hints:
        logger.warning("%s", hint)
    return list(found.values())


def _folders(root: Path) -> Iterator[Path]:
    """All folders that may be of a run, the oldest first."""

    def warn(error: OSError) -> None:
        logger.warning("%s", printable(str(error)))

    walked = os.walk(root, onerror=warn)
    return iter(sorted((Path(path) for path, _, _ in walked), key=_age))


def _age(folder: Path) -> tuple[datetime, int, str]:
    """What to sort run folders by."""
    if run := _RUN.fullmatch(folder.name):
        try:
            time = datetime.strptime(run[1], "%Y%m%d-%H%M%S")
            time = time.replace(tzinfo=UTC) if run[2] else time.astimezone(UTC)
            return time, int(run[3] or 1), str(folder)
        except (ValueError, OverflowError, OSError):  # no time of this calendar, or of this system
            pass
    return datetime.min.replace(tzinfo=UTC), 1, str(folder)


def _unfinished(folders: Iterable[Path]) -> list[str]:
    """Lines about runs without a report, and how to go on with them."""
    runs = [
        folder
        for folder in folders
        if not os.path.lexists(folder / "report.json")
        and ((folder / "config.yaml").exists() or _RUN.fullmatch(folder.name))
    ]
    lines = []
    for folder in runs[-_SHOWN:]:
        shown = shlex.quote(printable(str(folder)))
        if (folder / "config.yaml").exists():
            lines.append(f"not finished, goes on with: graphattn train --resume {shown}")
        else:
            lines.append(f"ended before it began, can be removed: {shown}")
    more = len(runs) - len(lines)
    return [*([f"{more} more runs are not finished"] if more else []), *lines]


def keep_reports(reports: Iterable[Report], folder: str | os.PathLike[str]) -> None:
    """Write reports where a table is to be made from them: ``<recipe>/seed<k>/report.json``.

    Reports of the same recipes that were kept before are replaced, all seeds of them.

    Raises:
        OSError: If the folder can't be written.
        TypeError: If a name is no string, or a seed no whole number.
        ValueError: If a name or seed would lead out of the folder; nothing is written then.
    """
    root, kept = Path(folder), list(reports)
    places = [_place(root, report) for report in kept]
    for recipe_folder in {place.parent for place in places}:
        for old in recipe_folder.glob("seed*/report.json"):
            if _is_below(old, root):
                old.unlink()
    for place, report in zip(places, kept, strict=True):
        place.mkdir(parents=True, exist_ok=True)
        content = (json.dumps(report.to_dict(), indent=2) + "\n").encode()
        write_atomically(place / "report.json", partial(_write, content))


def _place(root: Path, report: Report) -> Path:
    """Where a report is kept, checked: name and seed come out of a file."""
    check_seed("seed", report.seed)
    place = root / relative_path(report.name, root=str(root)) / f"seed{report.seed}"
    if not _is_below(place, root):
        raise ValueError(f"{place} must lie below {root}, but a link leads out of it")
    return place


def _is_below(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


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
        lines.append(f"| `{_cell(cells[0])}`{mark} | " + " | ".join(map(str, cells[1:])) + " |")
    footer = [f"[{number}] {note}\n" for number, note in enumerate(notes, start=1)]
    return "\n".join([*lines, "", *footer]).rstrip() + "\n"


def to_text(table: pd.DataFrame) -> str:
    """The table of :func:`results_table` for a terminal."""
    notes = [
        f"{printable(row_name)}: {note}"
        for row_name, note in zip(table["recipe"], table["note"], strict=True)
        if note
    ]
    return "\n".join([_as_text(table).to_string(index=False), *notes])


def _cell(text: str) -> str:
    r"""Text inside backticks in a cell of a Markdown table, which none of it may end."""
    return text.replace("`", r"\x60").replace("|", r"\|")


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Columns to show, with mean and deviation in one."""
    return pd.DataFrame(
        {
            "recipe": [printable(name) for name in table["recipe"]],
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
