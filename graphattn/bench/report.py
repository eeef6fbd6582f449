"""Tables of the benchmark: printed, kept as JSON, and read back for README."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graphattn._core.files import write_atomically
from graphattn.bench.case import Figure, by_kind
from graphattn.bench.measuring import Missing, Row

__all__ = ["Table", "as_text", "load_tables", "processor", "save_tables", "speed_table"]


@dataclass(frozen=True)
class Table:
    """What was measured of a case on one number of threads."""

    case: str
    """Name of the case."""
    inputs: str
    """Its inputs in a line."""
    threads: int
    """CPU threads."""
    note: str
    """What is to be known of the inputs beyond their declaration."""
    rows: list[Row]
    """One per contender."""
    figures: list[Figure]
    """What the rows say, against the goals."""
    missing: list[Missing]
    """Contenders that did not run."""


def save_tables(tables: Sequence[Table], path: Path, about: Mapping[str, Any]) -> None:
    """Write tables to a JSON file.

    Args:
        tables: What was measured.
        path: The file; its folder is made if it is not there.
        about: What the tables were measured on, and by which command.

    Raises:
        OSError: If the file can't be written.
    """
    cases = [
        asdict(table) | {"missing": [one._asdict() for one in table.missing]} for table in tables
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**about, "cases": cases}, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def load_tables(path: Path) -> list[Table]:
    """Read the tables of one file, or of all JSON files of a folder.

    Args:
        path: File or folder.

    Returns:
        The tables, in the order of file names.

    Raises:
        ValueError: If there is no such file, or a file is not one of :func:`save_tables`.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not all(file.is_file() for file in files) or not files:
        raise ValueError(f"no saved rows in {path}")
    tables = []
    for file in files:
        try:
            cases = json.loads(file.read_text())["cases"]
            tables += [_table(case) for case in cases]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{file} holds no rows of 'graphattn bench': {error}") from error
    return tables


def processor() -> str:
    """Model of the CPU, where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.+)$", text, flags=re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _table(case: dict[str, Any]) -> Table:
    parts = {
        "rows": [Row(**row) for row in case["rows"]],
        "figures": [Figure(**figure) for figure in case["figures"]],
        "missing": [Missing(**one) for one in case["missing"]],
    }
    return Table(**case | parts)


def as_text(table: Table) -> str:
    """A table as the terminal shows it: rows, figures, who is missing.

    Args:
        table: What was measured.
    """
    title = f"{table.case}, {table.threads} thread(s)"
    lines = [title, table.inputs + (f", {table.note}" if table.note else "")]
    lines += _aligned([_cells(row, table.rows) for row in table.rows])
    if table.figures:
        lines += ["", *_aligned([_figure_cells(figure) for figure in table.figures])]
    lines += [f"not measured: {one.name}: {one.reason}" for one in table.missing]
    return "\n".join(lines) + "\n"


def _cells(row: Row, rows: Sequence[Row]) -> dict[str, str]:
    """One line of the table; columns that no row fills are left out."""
    ours = by_kind(rows).get("ours")
    cells = {
        "contender": row.contender,
        "n": str(row.repeats),
        "forward ms": _number(row.forward_ms),
        "ms": _number(row.ms),
        "ms/ours": "" if ours is None else _number(row.ms / ours.ms),
        "peak MB": _number(row.peak_mb),
        "held MB": _number(row.held_mb),
        "M edges/s": _number(row.million_edges_per_s),
    }
    numbers = {**row.counts, **row.errors}
    cells |= {name: _number(value) for name, value in numbers.items()}
    return cells


def _figure_cells(figure: Figure) -> dict[str, str]:
    return {
        "figure": figure.figure,
        "measured": _number(figure.measured),
        "must": _number(figure.must),
        "aim": _number(figure.aim),
        "reached": figure.met,
    }


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(records: Sequence[Mapping[str, str]]) -> list[str]:
    """Lines of columns; the first to the left, the others to the right; empty ones left out."""
    names = list(dict.fromkeys(name for record in records for name in record))
    names = [name for name in names if any(record.get(name) for record in records)]
    widths = [max(len(name), *(len(record.get(name, "")) for record in records)) for name in names]
    lines = []
    for record in [dict(zip(names, names, strict=True)), *records]:
        cells = [record.get(name, "") for name in names]
        first, *others = zip(cells, widths, strict=True)
        lines.append("  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in others)]))
    return lines


_PEERS = {"pyg": "PyG", "compiled": "PyG, compiled", "dgl": "DGL", "plain": "plain torch"}
_SPEED_COLUMNS = (
    *("case", "threads", "ms", "peak MB"),
    *(f"{said} takes" for said in _PEERS.values()),
    *("peak of peer", "floor/op"),
)


def speed_table(tables: Sequence[Table]) -> str:
    """The table of README: our time, and how many times longer each peer takes.

    Args:
        tables: What was measured.

    Returns:
        Markdown; columns that no table fills are left out.
    """
    records = [_speed_cells(table) for table in tables]
    names = list(_SPEED_COLUMNS)
    names = [name for name in names if any(name in record for record in records)]
    lines = ["| " + " | ".join(names) + " |", "|---" * 2 + "|---:" * (len(names) - 2) + "|"]
    lines += [
        "| " + " | ".join(record.get(name, "") for name in names) + " |" for record in records
    ]
    return "\n".join(lines) + "\n"


def _speed_cells(table: Table) -> dict[str, str]:
    rows = by_kind(table.rows)
    ours = rows["ours"]
    cells = {
        "case": table.case,
        "threads": str(table.threads),
        "ms": _number(ours.ms),
    }
    if ours.peak_mb is not None:
        cells["peak MB"] = _number(ours.peak_mb)
    for kind, said in _PEERS.items():
        if kind in rows:
            cells[f"{said} takes"] = f"{rows[kind].ms / ours.ms:.1f} x"
    peer = rows.get("pyg") or rows.get("plain")
    if peer is not None and peer.peak_mb and ours.peak_mb:
        cells["peak of peer"] = f"{peer.peak_mb / ours.peak_mb:.1f} x"
    if "floor" in rows and "ours op" in rows:
        cells["floor/op"] = f"{rows['floor'].ms / rows['ours op'].ms:.2f}"
    return cells
