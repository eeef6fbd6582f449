"""What can be chosen about training; free of torch, so that ``--help`` is fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from graphattn._core.checks import check_choice, check_count, check_number, check_probability
from graphattn.tasks.names import LabelName, MetricName

__all__ = ["Accelerator", "Monitor", "Precision", "Ties", "TrainConfig"]

Monitor = Literal["loss", "metric", "loss_and_metric", MetricName]
Ties = Literal["first", "last"]
OptimizerName = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine"]
Accelerator = Literal["auto", "cpu", "gpu"]
Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained. The seed is not part of it: it belongs to the single run.

    Raises:
        TypeError: If a field has the wrong type.
        ValueError: If a field is out of range; the text names the field and its value.
    """

    optimizer: OptimizerName = "adam"
    """Adam with coupled weight decay (added to the gradient), AdamW with decoupled, or SGD."""
    lr: float = 0.005
    """Learning rate, the highest one of a schedule."""
    momentum: float = 0.0
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay."""
    weight_decays: tuple[tuple[str, float], ...] = ()
    """Parameters with a weight decay of their own: pairs of a pattern for their names (as for file
    names) and the decay; the first that fits counts."""
    l2: float = 0.0
    """This times the sum of squares of all parameters is added to the loss."""
    schedule: Schedule = "constant"
    """What the learning rate does after warm-up: stay, or fall to zero like half a cosine."""
    warmup_epochs: float = 0.0
    """Epochs, or part of one, in which the learning rate rises from zero."""
    clip_norm: float = 0.0
    """Largest norm of all gradients together; 0 for none."""
    task: LabelName | None = None
    """Kind of the labels; guessed from them if None."""
    metric: MetricName | None = None
    """The metric that is reported first; the usual one of the labels if None."""
    label_smoothing: float = 0.0
    """Share of the truth that the training loss spreads over all answers."""
    max_epochs: int = 1000
    """Most epochs to run."""
    patience: int = 100
    """Stop after so many epochs in a row without a best value of what is monitored."""
    monitor: Monitor = "loss_and_metric"
    """What selects the epoch on the validation set: the loss, `metric`, both as in the GAT paper,
    or another metric of the task by its name."""
    ties: Ties = "last"
    """Which of several epochs that are equally good on the validation set is selected."""
    eval_every: int = 1
    """Epochs from one look at the validation set to the next; the last epoch has one, too."""
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
        for name in ("weight_decay", "l2", "warmup_epochs", "clip_norm", "checkpoint_seconds"):
            check_number(name, getattr(self, name))
        for name in ("momentum", "label_smoothing"):
            check_probability(name, getattr(self, name))
        _check_decays(self.weight_decays)
        for name in ("max_epochs", "patience", "eval_every"):
            check_count(name, getattr(self, name))
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"'momentum' is for 'sgd', got {self.momentum!r} with {self.optimizer!r}"
            )
        if self.warmup_epochs > self.max_epochs:
            raise ValueError(
                f"'warmup_epochs' must be at most 'max_epochs', {self.max_epochs}, "
                f"got {self.warmup_epochs!r}"
            )
        check_choice("optimizer", self.optimizer, get_args(OptimizerName))
        check_choice("schedule", self.schedule, get_args(Schedule))
        check_choice("task", self.task, (*get_args(LabelName), None))
        check_choice("metric", self.metric, (*get_args(MetricName), None))
        check_choice("monitor", self.monitor, get_args(Monitor))
        check_choice("ties", self.ties, get_args(Ties))
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
