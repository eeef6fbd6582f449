"""``graphattn bench``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from graphattn._core.errors import unknown_name

__all__ = ["Bench"]


@dataclass(frozen=True)
class Bench:
    """Measure ours against peers in one process, interleaved, and print one table.

    Times are minima over the repeats. The error is that of a contender's output against the first
    one's, with the same weights.
    """

    cases: tyro.conf.Positional[tuple[str, ...]] = ()
    """Cases to run; all of them if none is named."""
    repeats: int = 30
    """Rounds over all contenders."""
    threads: int = 1
    """CPU threads."""
    root: Path | None = None
    """Folder of all data sets; GRAPHATTN_DATA, else the user's cache folder, if not given."""
    save: Path | None = None
    """Folder to write the rows to, one JSON file per case."""

    def run(self) -> int:
        """Print the tables."""
        import torch

        from graphattn.bench import CASES, measure
        from graphattn.train.environment import describe_environment

        environment = describe_environment(torch.device("cpu")) | {"threads": self.threads}
        for name in self.cases or tuple(CASES):
            if name not in CASES:
                raise unknown_name("case", name, CASES)
            table = measure(CASES[name](self.root), repeats=self.repeats, threads=self.threads)
            print(f"{name}, {self.threads} thread(s), minimum of {self.repeats}")
            print(table.to_string(index=False, float_format="{:.3g}".format), "\n")
            if self.save is not None:
                rows = {"case": name, **environment, "rows": table.to_dict("records")}
                self.save.mkdir(parents=True, exist_ok=True)
                (self.save / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")
        return 0
