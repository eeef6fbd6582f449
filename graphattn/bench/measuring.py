"""Timing contenders fairly: one process, interleaved, minimum of the repeats."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import trange

__all__ = ["Contender", "measure"]


@dataclass(frozen=True)
class Contender:
    """A program to time."""

    name: str
    """Whose it is, and in which form."""
    step: Callable[[], object]
    """What is timed."""
    output: Callable[[], Tensor]
    """A result that must be equal for all contenders, such as the output in evaluation mode."""


def measure(
    contenders: Sequence[Contender], *, repeats: int = 30, threads: int = 1, progress: bool = True
) -> pd.DataFrame:
    """Time every contender once per round, in turn.

    On a shared machine the minimum is the time with the least disturbance, and contenders that
    take turns meet the same disturbances.

    Args:
        contenders: What to time; the first one is what the others are compared with.
        repeats: Number of rounds after one that warms up.
        threads: CPU threads of torch.
        progress: Show a progress bar.

    Returns:
        One row per contender: ``contender``, ``ms`` (minimum), ``speed-up`` over the first, and
        ``error`` of its output against the first one's, relative to the largest entry.

    Raises:
        ValueError: If ``repeats`` or ``threads`` is less than 1.
    """
    for name, value in (("repeats", repeats), ("threads", threads)):
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        outputs = [contender.output() for contender in contenders]
        best = [float("inf")] * len(contenders)
        for contender in contenders:
            contender.step()
        for _ in trange(repeats, disable=not progress, leave=False):
            for place, contender in enumerate(contenders):
                start = time.perf_counter()
                contender.step()
                best[place] = min(best[place], time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return pd.DataFrame(
        {
            "contender": [contender.name for contender in contenders],
            "ms": [1e3 * seconds for seconds in best],
            "speed-up": [best[0] / seconds for seconds in best],
            "error": [
                float((out - outputs[0]).abs().max() / outputs[0].abs().max()) for out in outputs
            ],
        }
    )
