"""What can be chosen about training; free of torch, so that ``--help`` is fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from graphattn._core.checks import check_choice, check_count, check_number

__all__ = ["Accelerator", "Monitor", "Precision", "TrainConfig"]

Monitor = Literal["loss", "metric", "loss_and_metric"]
Accelerator = Literal["auto", "cpu", "gpu"]
Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained. The seed is not part of it: it belongs to the single run.

    Raises:
        TypeError: If a field has the wrong type.
        ValueError: If a field is out of range; the text names the field and its value.
    """

    lr: float = 0.005
    """Learning rate of Adam."""
    weight_decay: float = 5e-4
    """Weight decay of Adam, coupled (added to the gradient)."""
    weight_decays: tuple[tuple[str, float], ...] = ()
    """Parameters with a weight decay of their own: pairs of a pattern for their names (as for file
    names) and the decay; the first that fits counts."""
    l2: float = 0.0
    """This times the sum of squares of all parameters is added to the loss."""
    max_epochs: int = 1000
    """Most epochs to run."""
    patience: int = 100
    """Stop after so many epochs in a row without a best value of what is monitored."""
    monitor: Monitor = "loss_and_metric"
    """What selects the epoch: validation loss, validation metric, or both as in the GAT paper."""
    accelerator: Accelerator = "auto"
    """Where to train; "auto" takes a GPU when there is one."""
    precision: Precision = "32-true"
    """Arithmetic: single precision, or bfloat16 where autocast allows it."""
    compile: bool = False
    """Train the model through torch.compile."""
    deterministic: bool = False
    """Allow only algorithms that give the same bits in every run (on a GPU, at some cost)."""
    checkpoint_seconds: float = 2.0
    """Seconds between checkpoints in the run folder."""

    def __post_init__(self) -> None:
        check_number("lr", self.lr, positive=True)
        for name in ("weight_decay", "l2", "checkpoint_seconds"):
            check_number(name, getattr(self, name))
        _check_decays(self.weight_decays)
        for name in ("max_epochs", "patience"):
            check_count(name, getattr(self, name))
        check_choice("monitor", self.monitor, get_args(Monitor))
        check_choice("accelerator", self.accelerator, get_args(Accelerator))
        check_choice("precision", self.precision, get_args(Precision))
        for name in ("compile", "deterministic"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"'{name}' must be True or False, got {getattr(self, name)!r}")


def _check_decays(value: object) -> None:
    """Reject what is not a tuple of pairs of a word and a number."""
    pairs = value if isinstance(value, tuple) else (value,)
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(f"'weight_decays' must be pairs (pattern, decay), got {value!r}")
        check_number("weight_decays", pair[1])
