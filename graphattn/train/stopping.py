"""When to stop, and which epoch's weights to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from graphattn._core.checks import check_count
from graphattn.train.config import Monitor, Ties

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Follow the validation loss and metric, select epochs, and say when to stop.

    A *hit* is an epoch whose value is at least as good as the best one before it (``<=`` for the
    loss, ``>=`` for the metric), so the last of several equal epochs counts; or a better one, with
    ``ties="first"``.

    ================= ========================= ==========================
    ``monitor``       counter is reset by       epoch is selected by
    ================= ========================= ==========================
    "loss"            a hit of the loss         a hit of the loss
    "metric"          a hit of the metric       a hit of the metric
    "loss_and_metric" a hit of either           hits of both in this epoch
    ================= ========================= ==========================

    "loss_and_metric" is the rule in the code of the GAT authors.

    Args:
        monitor: What to follow; the name of a metric means that this one is passed as the metric.
        patience: :attr:`stop` is true once so many epochs in a row brought no hit. Authors who
            stop at *more than* ``k`` such epochs have patience ``k + 1`` here.
        ties: Which of several equal epochs counts.

    Example:
        >>> stopping = EarlyStopping("loss", patience=2)
        >>> [stopping.update(e, loss=l, metric=0.5) for e, l in enumerate([3, 2, 4, 5], start=1)]
        [True, True, False, False]
        >>> stopping.best_epoch, stopping.stop
        (2, True)
    """

    def __init__(self, monitor: Monitor, patience: int, ties: Ties = "last") -> None:
        self.monitor = monitor
        self.patience = patience
        self.ties = ties
        self.best_epoch = 0
        self.selected_metric = math.nan
        self.wait = 0
        self._lowest_loss = math.inf
        self._highest_metric = -math.inf

    @property
    def stop(self) -> bool:
        """Whether patience has run out."""
        return self.wait >= self.patience

    def update(self, epoch: int, *, loss: float, metric: float, epochs: int = 1) -> bool:
        """Take in the validation values of one epoch.

        Args:
            epoch: Number of the epoch.
            loss: Validation loss.
            metric: Validation metric; more is better.
            epochs: Number of epochs since the last one that was looked at.

        Returns:
            Whether this epoch is selected, i.e. its weights are to be kept.
        """
        low, high = loss <= self._lowest_loss, metric >= self._highest_metric
        if self.ties == "first":
            low, high = loss < self._lowest_loss, metric > self._highest_metric
        self._lowest_loss = min(loss, self._lowest_loss)
        self._highest_metric = max(metric, self._highest_metric)
        hit, selected = {
            "loss": (low, low),
            "loss_and_metric": (low or high, low and high),
        }.get(self.monitor, (high, high))
        self.wait = 0 if hit else self.wait + epochs
        if selected:
            self.best_epoch, self.selected_metric = epoch, metric
        return selected

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs, as plain numbers and words."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned.

        Args:
            state: The saved state.

        Raises:
            TypeError: If a value has the wrong type.
            ValueError: If a value is missing, unknown or out of range, or belongs to another rule.
        """
        own = vars(self)
        # Older states do not know of ties.
        if missing := [name for name in own if name not in state and name != "ties"]:
            raise ValueError(f"the stopping state lacks {', '.join(missing)}")
        state = {"ties": "last", **state}
        if unknown := [name for name in state if name not in own]:
            raise ValueError(f"the stopping state has an unknown {unknown[0]!r}")
        for name in ("monitor", "patience", "ties"):
            if state[name] != own[name]:
                raise ValueError(f"'{name}' must be {own[name]!r}, got {state[name]!r}")
        for name in ("best_epoch", "wait"):
            check_count(name, state[name], least=0)
        for name in ("selected_metric", "_lowest_loss", "_highest_metric"):
            value = state[name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"'{name}' must be a number, got {value!r}")
            # Nothing is selected at the beginning.
            if math.isnan(value) and (name != "selected_metric" or state["best_epoch"] > 0):
                raise ValueError(f"'{name}' must be a number, got {value!r}")
        own.update(state)
