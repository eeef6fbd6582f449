"""Timing contenders fairly: one process, in turns, minimum of the repeats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import trange

from graphattn.bench.memory import Usage, memory_of_process, memory_of_step

__all__ = ["Contender", "Measured", "Missing", "Row", "errors_of", "measure"]

Results = Mapping[str, Tensor]


@dataclass(frozen=True)
class Contender:
    """A program to time."""

    name: str
    """Whose it is, and in which form."""
    kind: str
    """What figures call it. Contenders of one kind are forms of one program: after the first round
    only the fastest goes on."""
    forward: Callable[[], Any]
    """First part of a step."""
    backward: Callable[[Any], object] | None = None
    """Second part, called with the result of the first."""
    release: Callable[[], object] | None = None
    """Lets go of what a step leaves behind, such as gradients; not timed."""
    results: Callable[[], Results] | None = None
    """A step whose results are compared with the reference, by name."""
    edges: int | None = None
    """Edges that one step stands for, where edges per second are asked for."""
    memory: Callable[[], Usage | None] | None = None
    """Runs a step and tells its memory, if that is not memory of the process."""
    once: bool = False
    """A step takes so long that one has to do, timed and with the memory of the process seen."""
    counts: Callable[[], Mapping[str, float]] | None = None
    """Numbers by name that the last step has counted."""


class Missing(NamedTuple):
    """A contender that does not run here."""

    name: str
    """Who."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class Row:
    """What was measured of one contender."""

    contender: str
    """Its name."""
    kind: str
    """Its kind."""
    repeats: int
    """Rounds it was timed in."""
    forward_ms: float
    """Shortest first part."""
    ms: float
    """Shortest step."""
    peak_mb: float | None = None
    """Most memory that a step took beyond what was there before."""
    held_mb: float | None = None
    """Memory held between the parts of a step."""
    million_edges_per_s: float | None = None
    """Edges per second, in the shortest step."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Deviations from the reference; see :func:`errors_of`."""
    counts: Mapping[str, float] = field(default_factory=dict)
    """What the last step has counted."""


class Measured(NamedTuple):
    """Outcome of :func:`measure`."""

    rows: list[Row]
    """One per contender that ran, in their order."""
    missing: list[Missing]
    """Peers that failed, with their reason."""


@dataclass
class _Entry:
    contender: Contender
    errors: Mapping[str, float]
    usage: Usage | None = None
    repeats: int = 0
    forward: float = float("inf")
    total: float = float("inf")

    def run(self) -> None:
        """One timed step, right behind one that is not.

        As in training, a step then finds in the caches and at hand of the system the memory that
        the same program has just used, whoever ran before it.
        """
        self._step()
        self._note(*self._step())

    def run_once(self, memory: bool) -> None:
        """The only step."""
        times: list[tuple[float, float]] = []

        def step() -> None:
            times.append(self._step())

        if memory:
            self.usage = memory_of_process(step, None)
        if not times:
            # No memory was asked for, or the system does not tell.
            step()
        self._note(*times[0])

    def _note(self, forward: float, total: float) -> None:
        self.repeats += 1
        self.forward = min(self.forward, forward)
        self.total = min(self.total, total)

    def _step(self) -> tuple[float, float]:
        """Seconds until the end of the first part, and of the whole."""
        contender = self.contender
        start = time.perf_counter()
        out = contender.forward()
        middle = time.perf_counter()
        if contender.backward is not None:
            contender.backward(out)
        end = time.perf_counter()
        del out
        _release(contender)
        return middle - start, end - start

    def row(self) -> Row:
        edges = self.contender.edges
        return Row(
            contender=self.contender.name,
            kind=self.contender.kind,
            repeats=self.repeats,
            forward_ms=1e3 * self.forward,
            ms=1e3 * self.total,
            peak_mb=None if self.usage is None else self.usage.peak,
            held_mb=None if self.usage is None else self.usage.held,
            million_edges_per_s=None if edges is None else edges / self.total / 1e6,
            errors=self.errors,
            counts={} if self.contender.counts is None else dict(self.contender.counts()),
        )


def measure(
    contenders: Sequence[Contender],
    *,
    repeats: int = 5,
    threads: int = 1,
    reference: Results | None = None,
    memory: bool = False,
    progress: bool = True,
) -> Measured:
    """Time every contender once per round, in turn, each time after a step that warms up.

    On a shared machine the minimum is the time with the least disturbance, and contenders that
    take turns meet the same disturbances.

    Args:
        contenders: What to time. Those whose kind starts with ``"ours"`` must run; others may fail.
        repeats: Number of rounds.
        threads: CPU threads of torch, and of all that follow it.
        reference: What the results of contenders are compared with.
        memory: After the first round, also run a step that is not timed to see its memory.
        progress: Show a progress bar.

    Returns:
        Rows, and the peers that failed.

    Raises:
        ValueError: If ``repeats`` or ``threads`` is less than 1.
    """
    for name, value in (("repeats", repeats), ("threads", threads)):
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
    with _threads(threads):
        entries, missing = _warmed_up(contenders, reference or {})
        playing = entries
        for done in trange(repeats, disable=not progress, leave=False):
            for entry in playing:
                if entry.contender.once:
                    entry.run_once(memory)
                else:
                    entry.run()
            if done > 0:
                continue
            playing = [entry for entry in _fastest_forms(entries) if not entry.contender.once]
            for entry in playing if memory else ():
                entry.usage = _usage(entry.contender)
                _release(entry.contender)
    return Measured([entry.row() for entry in entries], missing)


def errors_of(results: Results, reference: Results) -> dict[str, float]:
    """Largest deviation of each result, relative to the largest entry of the reference.

    Where LeakyReLU has its kink, two correct programs that round differently may take different
    sides and differ in a few rows of a gradient. ``rows off`` therefore counts the rows of all
    results that deviate by more than 1e-5, so that one such row can be told from many.

    Args:
        results: Tensors by name.
        reference: Their right values, ``float64``, under the same names.

    Returns:
        ``<name> error`` of every result, and ``rows off``.
    """
    errors = {}
    off = 0
    for name, right in reference.items():
        deviation = (results[name].double() - right).abs() / right.abs().max()
        errors[f"{name} error"] = float(deviation.max())
        off += int((deviation.flatten(1).amax(dim=1) > 1e-5).sum())
    return errors | {"rows off": off} if errors else {}


def _warmed_up(
    contenders: Sequence[Contender], reference: Results
) -> tuple[list[_Entry], list[Missing]]:
    """Run each contender once; compare what it gives, and sort out peers that fail."""
    entries, missing = [], []
    for contender in contenders:
        if contender.once:
            entries.append(_Entry(contender, {}))
            continue
        try:
            errors = _first_step(contender, reference)
        except Exception as error:
            if contender.kind.startswith("ours"):
                raise
            first_line = str(error).strip().split("\n")[0]
            missing.append(Missing(contender.name, f"{type(error).__name__}: {first_line}"))
        else:
            entries.append(_Entry(contender, errors))
        _release(contender)
    return entries, missing


def _first_step(contender: Contender, reference: Results) -> dict[str, float]:
    if contender.results is not None:
        return errors_of(contender.results(), reference)
    out = contender.forward()
    if contender.backward is not None:
        contender.backward(out)
    return {}


def _fastest_forms(entries: Sequence[_Entry]) -> list[_Entry]:
    kinds = {entry.contender.kind: entry for entry in sorted(entries, key=lambda e: -e.total)}
    return [entry for entry in entries if kinds[entry.contender.kind] is entry]


def _usage(contender: Contender) -> Usage | None:
    if contender.memory is not None:
        return contender.memory()
    return memory_of_step(contender.forward, contender.backward)


def _release(contender: Contender) -> None:
    if contender.release is not None:
        contender.release()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
