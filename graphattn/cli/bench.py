"""``graphattn bench``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from graphattn._core.errors import unknown_name

if TYPE_CHECKING:
    from graphattn.bench import Table

__all__ = ["Bench"]


@dataclass(frozen=True)
class Bench:
    """Measure ours against peers in one process, in turns, and print tables.

    Times are minima over rounds; a timed step comes right after an untimed one of the same program.
    Peers are found at run time; one that is not here, or fails, is named with the reason. Of
    several forms of a peer all run in the first round (n = 1), and the fastest goes on. Errors are
    those of output and input gradient against float64, relative to the largest entry; 'rows off'
    counts rows that deviate by more than 1e-5.
    """

    cases: tyro.conf.Positional[tuple[str, ...]] = ()
    """Groups of cases to run (gat, gatv2, dot, aero, sampler, cora-step, gpu, products, gats); if
    none is named, all but products and gats, which take minutes, and up to 12 GiB."""
    repeats: int | None = None
    """Rounds, instead of those of each case."""
    threads: tuple[int, ...] = ()
    """Numbers of CPU threads; by default all, for some cases also one."""
    scale: float = 1.0
    """Share of the sizes of synthetic graphs, for a quick look."""
    root: Path | None = None
    """Folder of all data sets; GRAPHATTN_DATA, else the user's cache folder, if not given."""
    save: Path | None = None
    """Folder to write the rows to, one JSON file per group."""
    table: Path | None = None
    """Measure nothing; print the table for README of the rows that were saved in this folder."""

    def run(self) -> int:
        """Print the tables."""
        from graphattn.bench import BY_NAME_ONLY, GROUPS, load_tables, speed_table

        if self.table is not None:
            print(speed_table(load_tables(self.table)), end="")
            return 0
        groups = self.cases or [name for name in GROUPS if name not in BY_NAME_ONLY]
        for name in groups:
            if name not in GROUPS:
                raise unknown_name("case", name, GROUPS)
        for name in groups:
            self._run_group(name)
        return 0

    def _run_group(self, name: str) -> None:
        import torch

        from graphattn.bench import (
            GROUPS,
            Settings,
            as_text,
            processor,
            run_case,
            save_tables,
        )
        from graphattn.train.environment import describe_environment

        settings = Settings(self.root, self.scale)
        tables: list[Table] = []
        for case in GROUPS[name]:
            like = next((table for table in tables if table.case == case.forms_like), None)
            try:
                found = run_case(
                    case, settings, repeats=self.repeats, threads=self.threads, like=like
                )
            except NotImplementedError as error:
                print(f"{case.name}: skipped, {error}\n")
                continue
            for table in found:
                print(as_text(table), flush=True)
            tables += found
        if self.save is not None:
            about = describe_environment(torch.device("cuda" if name == "gpu" else "cpu"))
            about |= {"cpu": processor(), "command": self._command()}
            save_tables(tables, self.save / f"{name}.json", about)

    def _command(self) -> str:
        """What was typed, as far as it decides what is measured."""
        words = ["graphattn", "bench", *self.cases]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "cases" and value != field.default:
                values = value if isinstance(value, tuple) else (value,)
                words += [f"--{field.name}", *map(str, values)]
        return shlex.join(words)
