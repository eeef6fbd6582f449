"""``graphattn train``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Union

import tyro

from graphattn._core.checks import check_seed
from graphattn._core.errors import unknown_name
from graphattn._core.text import printable
from graphattn.data import fingerprint, own_path
from graphattn.models import METHODS, GATConfig, ModelConfig
from graphattn.recipes import RECIPES, DataConfig, Experiment, SamplingConfig, recipe
from graphattn.train import TrainConfig

if TYPE_CHECKING:
    from graphattn.train import Report

    _Model = ModelConfig
else:  # tyro asks for the settings of every method
    _Model = Union[tuple(METHODS.values())]  # noqa: UP007

__all__ = ["Train", "default_for", "parse_seeds"]

_DEFAULT = "gat/digits"
_MOST_SEEDS = 10_000
_LONGEST_SEED = 10


@dataclass(frozen=True)
class Train:
    """Train a recipe (gat/cora), or a method (gat) on any data set, and report the test figures.

    The defaults below are those of the named recipe or method. Each run gets a folder of its own
    with everything about it; an interrupted one goes on with --resume.
    """

    target: tyro.conf.Positional[str] = _DEFAULT
    """Recipe or method; `graphattn results` and an unknown name list them."""
    dataset: str | None = None
    """Data set for a method (see `graphattn datasets`), or a graph of your own: a .pt file, or a
    folder with nodes.csv and edges.csv."""
    seeds: str = "0"
    """Seeds, one run each: 3, or 0-9, or 0,4,7. Seed k takes split k of several."""
    resume: Path | None = None
    """Run folder to continue instead of starting anew."""
    runs: Path = Path("runs")
    """Folder for run folders."""
    root: Path | None = None
    """Folder of all data sets; GRAPHATTN_DATA, else the user's cache folder, if not given."""
    offline: bool = False
    """Never use the network."""
    progress: bool = True
    """Show a progress bar."""
    model: Annotated[_Model, tyro.conf.AvoidSubcommands] = field(default_factory=GATConfig)
    """The network."""
    data: DataConfig = field(default_factory=DataConfig)
    """The data."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """The mini-batches."""

    def run(self) -> int:
        """Train all seeds and print the table."""
        from graphattn.recipes import resume
        from graphattn.recipes.running import run
        from graphattn.train.ranks import rank_and_count

        first = rank_and_count()[0] == 0  # of the processes of torchrun the one that prints

        if self.resume is not None:
            self._check_nothing_else()
            report = resume(
                self.resume, root=self.root, offline=self.offline, progress=self.progress
            )
            if first:
                _print_report(report)
            return 0
        experiment = _starting_point(self.target, self.dataset).changed(
            model=self.model, data=self.data, train=self.train, sampling=self.sampling
        )
        experiments = [experiment]
        if experiment.baseline is not None:
            experiments.append(recipe(experiment.baseline))
        reports = []
        for each in experiments:
            for seed in parse_seeds(self.seeds):
                if first:
                    print(f"{each.name}, seed {seed}", file=sys.stderr)
                report = run(
                    each,
                    seed,
                    runs=self.runs,
                    root=self.root,
                    offline=self.offline,
                    progress=self.progress,
                )
                if first:
                    _print_report(report)
                reports.append(report)
        if not first:
            return 0
        _print_table(reports)
        folders = " and ".join(str(self.runs / each.name) for each in experiments)
        print(f"\nEverything about these runs is in {folders}")
        return 0

    def _check_nothing_else(self) -> None:
        """See that no setting is given with --resume: a run goes on with those it was begun with.

        Raises:
            ValueError: If one is.
        """
        plain = default_for([])
        for name in ("target", "dataset", "seeds", "model", "data", "train", "sampling"):
            if getattr(self, name) != getattr(plain, name):
                raise ValueError(
                    f"'{name}' can't be given with 'resume': the run goes on with the settings in "
                    f"{self.resume}/config.yaml"
                )


def default_for(arguments: Sequence[str]) -> Train:
    """The settings that `graphattn train` starts from, so that `--help` shows them.

    Args:
        arguments: Words after ``train``; a recipe or method comes first.

    Raises:
        ValueError: If there is no such recipe or method; names the nearest ones.
    """
    target = arguments[0] if arguments and not arguments[0].startswith("-") else _DEFAULT
    dataset = None
    for place, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option == "--dataset":
            dataset = value or "".join(arguments[place + 1 : place + 2])
    start = _starting_point(target, dataset)
    return Train(
        target=target,
        model=start.model,
        data=start.data,
        train=start.train,
        sampling=start.sampling,
    )


def parse_seeds(text: str) -> list[int]:
    """Read ``"3"``, ``"0-9"`` or ``"0,4,7-9"``.

    Raises:
        ValueError: If it is none of these, a seed needs more than 32 bits, or there are more than
            10,000 of them.

    Example:
        >>> parse_seeds("0,4-6")
        [0, 4, 5, 6]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"'seeds' must look like 3, 0-9 or 0,4,7, got {text!r:.100}")
        if max(len(first), len(last)) > _LONGEST_SEED:
            raise ValueError(f"'seeds' must fit 32 bits, got {part!r:.100}")
        more = range(int(first), int(last or first) + 1)
        for seed in (*more[:1], *more[-1:]):
            check_seed("seeds", seed)
        if len(seeds) + len(more) > _MOST_SEEDS:
            raise ValueError(f"'seeds' must name at most {_MOST_SEEDS} seeds, got {text!r:.100}")
        seeds.extend(more)
    if not seeds:
        raise ValueError(f"'seeds' must name at least one seed, got {text!r}")
    return seeds


def _starting_point(target: str, dataset: str | None) -> Experiment:
    if target in METHODS:
        data = DataConfig(dataset or DataConfig.name)
        called = data.name
        if (path := own_path(data.name)) is not None:
            data = DataConfig(str(path), fingerprint=fingerprint(path))
            called = f"{_safe(path.stem)}-{data.fingerprint[:6]}"
        return Experiment(f"{target}-{called}", METHODS[target](), data)
    if target not in RECIPES:
        raise unknown_name("recipe or method", target, [*RECIPES, *METHODS])
    if dataset is not None:
        raise ValueError(
            f"'dataset' goes with a method, but {target!r} is a recipe and has its own; "
            f"use: graphattn train {target.partition('/')[0]} --dataset {dataset}"
        )
    return recipe(target)


def _safe(name: str) -> str:
    """A name of a file in letters, digits and a few signs, for names of folders and tables."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")[:40] or "graph"


def _print_report(report: Report) -> None:
    print(
        f"{printable(report.name)} seed {report.seed}: "
        f"test {printable(report.metric)} {100 * report.test_metric:.2f} %, "
        f"validation {100 * report.val_metric:.2f} %, epoch {report.best_epoch} of "
        f"{report.epochs}, {report.seconds:.1f} s on {printable(report.device)}"
    )


def _print_table(reports: list[Report]) -> None:
    from graphattn.recipes.table import results_table, to_text

    print()
    print(to_text(results_table(reports)))
