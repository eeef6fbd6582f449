"""Running a case on one thread, on all, or on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from graphattn.bench.case import Case, Lineup, Settings
from graphattn.bench.measuring import Missing, measure
from graphattn.bench.report import Table

__all__ = ["run_case"]


def run_case(
    case: Case,
    settings: Settings,
    *,
    repeats: int | None = None,
    threads: Sequence[int] = (),
    like: Table | None = None,
    progress: bool = True,
) -> list[Table]:
    """Measure a case.

    Memory is measured, and the fastest form of each peer found, on the first number of threads;
    on the others only that form runs.

    Args:
        case: The case.
        settings: Wishes of the user.
        repeats: Rounds, instead of those of the case.
        threads: Numbers of CPU threads, instead of those of the case.
        like: Outcome of a similar case; forms of peers that were slower there do not run.
        progress: Show progress bars.

    Returns:
        A table for every number of threads.
    """
    lineup = case.lineup(settings)
    if settings.scale != 1:
        said = f"synthetic graphs scaled by {settings.scale:g}"
        lineup = replace(lineup, note=f"{lineup.note}, {said}" if lineup.note else said)
    if like is not None:
        lineup = _without_slower_forms(lineup, like)
    tables: list[Table] = []
    for count in threads or _threads_of(case):
        rows, failed = measure(
            lineup.contenders,
            repeats=repeats or case.repeats,
            threads=count,
            reference=lineup.reference,
            memory=case.memory and not tables,
            progress=progress,
        )
        figures = [figure for goal in case.goals if (figure := goal.read(rows)) is not None]
        missing = [*lineup.missing, *failed]
        tables.append(Table(case.name, case.inputs, count, lineup.note, rows, figures, missing))
        lineup = _without_slower_forms(replace(lineup, missing=()), tables[0])
    return tables


def _threads_of(case: Case) -> list[int]:
    most = torch.get_num_threads()
    wanted = {"one": [1], "all": [most], "both": [most, 1]}[case.threads]
    return list(dict.fromkeys(wanted))


def _without_slower_forms(lineup: Lineup, table: Table) -> Lineup:
    most = max(row.repeats for row in table.rows)
    slower = [row.contender for row in table.rows if row.repeats < most]
    reason = f"slower in {table.case!r} on {table.threads} thread(s)"
    return replace(
        lineup,
        contenders=[one for one in lineup.contenders if one.name not in slower],
        missing=[*lineup.missing, *(Missing(name, reason) for name in slower)],
    )
