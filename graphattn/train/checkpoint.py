"""Where a run stands, inside an epoch too, and how that is saved and found again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from graphattn._core.checks import check_count
from graphattn.train.config import TrainConfig
from graphattn.train.run_folder import RunFolder
from graphattn.train.state import TrainState, random_state, set_random_state

__all__ = ["Checkpoints", "Position"]

logger = logging.getLogger("graphattn")

# What may differ between a run and its continuation, since no number depends on it.
FREE_ON_RESUME = ("checkpoint_seconds",)

T = TypeVar("T")


@dataclass
class Position:
    """How far an epoch has come."""

    batches: int = 0
    """Batches that were trained on."""
    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Sum of their losses, each times its number of labels."""
    count: int = 0
    """Number of these labels."""
    start: dict[str, Any] | None = None
    """State of the random generators when the epoch began, where it is needed to begin it again."""

    def rest(self, batches: Iterable[T], *, keep_start: bool) -> Iterator[T]:
        """Begin to go through the batches of an epoch, without those that were trained on.

        A loader that draws from the global generators as it begins draws the same again, and they
        go on from where they were.

        Args:
            batches: All batches of the epoch.
            keep_start: Whether the epoch may be interrupted.
        """
        if self.batches == 0:
            self.start = random_state() if keep_start else None
            return iter(batches)
        now = random_state()
        if self.start is not None:
            set_random_state(self.start)
        iterator = iter(batches)
        next(islice(iterator, self.batches - 1, None), None)
        set_random_state(now)
        return iterator

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`from_state` needs, as tensors and plain values."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Position:
        """Make one of what :meth:`state_dict` returned.

        Raises:
            TypeError: If a value has another type.
            ValueError: If a number is negative.
        """
        position = cls(**state)
        for name in ("batches", "count"):
            check_count(name, getattr(position, name), least=0)
        if not isinstance(position.total, Tensor) or position.total.dim():
            raise TypeError(f"'total' must be a number, got {position.total!r}")
        return position


class Checkpoints:
    """Saves a run in its folder from time to time, and goes back to where it was saved.

    Args:
        run: The folder; without one nothing is saved.
        state: The moving parts of the run.
        config: The settings.
        seed: The seed.
        columns: Names of the columns of the history.
        writes: Whether this process is the one that writes.
    """

    def __init__(
        self,
        run: RunFolder | None,
        state: TrainState,
        config: TrainConfig,
        *,
        seed: int,
        columns: Sequence[str],
        writes: bool = True,
    ) -> None:
        self.run, self.state, self.config = run, state, config
        self.seed, self.columns = seed, columns
        self.writes = writes
        self.best_is_saved = True  # there is none yet
        self._saved = time.monotonic()
        self._started = self._saved

    @property
    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._saved >= self.config.checkpoint_seconds

    def save(self, position: Position) -> None:
        """Write a checkpoint; ``resume.pt`` comes last, and all else can be made from it.

        Args:
            position: Where in the epoch the run is.

        Raises:
            OSError: If it can't be written.
        """
        self.state.seconds = time.monotonic() - self._started
        if self.run is None or not self.writes:
            return
        self.run.write_metrics(self.columns, self.state.history)
        if not self.best_is_saved:
            self.run.write_weights(self.state.best)
            self.best_is_saved = True
        choices = {"config": asdict(self.config), "seed": self.seed}
        inside = {"position": position.state_dict()} if position.batches else {}
        self.run.write_resume({**choices, **self.state.state_dict(), **inside})
        self._saved = time.monotonic()

    def restore(self) -> Position | None:
        """Go to where the checkpoint is.

        Returns:
            Where in the epoch that is; ``None`` if there is no checkpoint.

        Raises:
            ValueError: If it is damaged, or of another run or model.
        """
        if self.run is None:
            return None
        if self.writes:
            self.run.remove_leftovers()
        if not self.run.resume_path.exists():
            return None
        saved = self.run.read_resume()
        try:
            self._check_choices(saved, self.run)
            position = Position.from_state(saved.get("position", {}))
            self.state.load_state_dict(saved, source=self.run.resume_path)
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"{self.run.resume_path} is damaged: {error!r}") from error
        self.best_is_saved = self.state.stopping.best_epoch == 0
        self._started = time.monotonic() - self.state.seconds
        logger.info("continuing %s after epoch %d", self.run.path, self.state.epoch)
        return position

    def _check_choices(self, saved: Mapping[str, Any], run: RunFolder) -> None:
        """See that the run is continued with the choices it was begun with."""
        now = {**asdict(self.config), "seed": self.seed}
        # A setting that there was not when the run was begun had its default.
        then = {**asdict(TrainConfig()), **saved["config"], "seed": saved["seed"]}
        for key, value in now.items():
            if key not in FREE_ON_RESUME and then[key] != value:
                raise ValueError(
                    f"'{key}' must be {then[key]!r} as when {run.path} was begun, got {value!r}"
                )
