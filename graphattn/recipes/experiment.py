"""What a recipe is: a model, a data set, a way to train, and the number to reproduce."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from graphattn._core.checks import check_count
from graphattn._core.errors import unknown_name
from graphattn._core.files import relative_path
from graphattn.models import METHODS, GATConfig, ModelConfig
from graphattn.train import TrainConfig

__all__ = ["DataConfig", "Experiment", "Published", "SamplingConfig"]

T = TypeVar("T")

_SECTIONS = ("model", "data", "train", "sampling")
# What decides about no number.
_FREE = ("accelerator", "checkpoint_seconds", "deterministic", "num_workers")
# A typing error or a hostile file shall not take the machine: no network comes near these.
_MOST = {
    "num_layers": 10_000,
    "num_steps": 10_000,
    "hidden_channels": 2**16,
    "heads": 2**16,
    "out_heads": 2**10,
}


@dataclass(frozen=True)
class DataConfig:
    """Which data set, and how it is prepared."""

    name: str = "digits"
    """Data set, as `graphattn datasets` lists it, or path of a .pt file or of a folder of CSV
    files."""
    split: str | None = None
    """Split protocol of its card, or a rule such as 60/20/20, 60/20/20-per-class or
    20-per-class/500/1000; the card's default, or the masks of the file, if None."""
    normalize_features: bool = False
    """Scale the features of each node to sum to one."""
    undirected: bool = False
    """Add the reverse of every edge."""
    self_loops: bool = False
    """Give every node exactly one self-loop."""
    sparse_features: bool = False
    """Keep features as a sparse matrix where at most a tenth of them are not zero: faster there."""
    fingerprint: str = ""
    """Digest of the files of a graph of one's own, set by `graphattn train`: a run doesn't go on
    with other contents."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"'name' must be a string, got {self.name!r}")
        if not isinstance(self.split, str | None):
            raise TypeError(f"'split' must be a string or None, got {self.split!r}")
        if not isinstance(self.fingerprint, str):
            raise TypeError(f"'fingerprint' must be a string, got {self.fingerprint!r}")
        for name in ("normalize_features", "undirected", "self_loops", "sparse_features"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise TypeError(f"'{name}' must be True or False, got {value!r}")


@dataclass(frozen=True)
class SamplingConfig:
    """Mini-batches of sampled neighbours instead of the whole graph.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If one is out of range.
    """

    num_neighbors: tuple[int, ...] = ()
    """Most neighbours to draw for a node in each hop, one number per layer, -1 for all; the whole
    graph is the only batch if there is none."""
    batch_size: int = 1024
    """Training nodes per batch, in each process."""
    eval_num_neighbors: tuple[int, ...] = ()
    """The same numbers for evaluation; as in training if there is none."""
    eval_batch_size: int = 4096
    """Nodes per batch of evaluation, in each process."""
    num_workers: int = 0
    """Processes that make batches; 0 makes them in the one that trains."""

    def __post_init__(self) -> None:
        for name in ("num_neighbors", "eval_num_neighbors"):
            if not isinstance(getattr(self, name), tuple):
                raise TypeError(f"'{name}' must hold whole numbers, got {getattr(self, name)!r}")
            for number in getattr(self, name):
                check_count(name, number, least=-1)
        if self.eval_num_neighbors and not self.num_neighbors:
            raise ValueError(
                f"'eval_num_neighbors' goes with 'num_neighbors', got {self.eval_num_neighbors!r} "
                "alone"
            )
        for name in ("batch_size", "eval_batch_size"):
            check_count(name, getattr(self, name), most=2**31)
        check_count("num_workers", self.num_workers, least=0, most=2**10)


@dataclass(frozen=True)
class Published:
    """A result from the literature, in percent."""

    mean: float
    """Mean over runs."""
    sd: float
    """Spread over runs."""
    n: int
    """Number of runs."""
    source: str
    """Where it stands."""


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a result, but the seed.

    Raises:
        TypeError: If the name is no string.
        ValueError: If no folder can have the name, or the network has absurdly many layers,
            channels or heads.
    """

    name: str
    """Name of the recipe, or of the combination."""
    model: ModelConfig = field(default_factory=GATConfig)
    """The network."""
    data: DataConfig = field(default_factory=DataConfig)
    """The data."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """The mini-batches."""
    published: Published | None = None
    """What to compare with."""
    baseline: str | None = None
    """Recipe to train beside this one for comparison."""
    note: str = ""
    """What a reader of the results should know."""

    def __post_init__(self) -> None:
        relative_path(self.name, root="runs")
        for key, most in _MOST.items():
            if (value := getattr(self.model, key, None)) is not None:
                check_count(key, value, least=0, most=most)

    @property
    def method(self) -> str:
        """Name of the model's method, as in :data:`graphattn.models.METHODS`."""
        return next(name for name, config in METHODS.items() if config is type(self.model))

    def changed(
        self,
        *,
        model: ModelConfig,
        data: DataConfig,
        train: TrainConfig,
        sampling: SamplingConfig | None = None,
    ) -> Experiment:
        """This experiment with other settings; if a result may differ, under another name.

        Equal changes give equal names, so that their runs are one row of a table, and different
        changes different ones. Only what differs from this experiment counts: a setting that a
        later version adds changes no name while it has its default.

        Args:
            model: The network.
            data: The data; the same set.
            train: The training; where it runs and how often it saves may differ freely.
            sampling: The mini-batches; as they are if ``None``.

        Raises:
            ValueError: If ``data`` is of another data set, since the name says which it is.
        """
        if data.name != self.data.name:
            raise ValueError(
                f"'data.name' is {data.name!r}, but {self.name!r} is about {self.data.name!r}; "
                f"use: graphattn train {self.method} --dataset {data.name}"
            )
        sampling = self.sampling if sampling is None else sampling
        now = replace(self, model=model, data=data, train=train, sampling=sampling)
        changes = _differences(self, now)
        if not changes:
            return now
        digest = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()
        name = f"{self.name}-{digest[:8]}"
        return replace(now, name=name, published=None, baseline=None, note="")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values for ``config.yaml``, which has lists but no tuples."""
        sections = {name: getattr(self, name) for name in _SECTIONS}
        return {
            "name": self.name,
            "method": self.method,
            **{key: _with_lists(asdict(section)) for key, section in sections.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Experiment:
        """Make an experiment of what :meth:`to_dict` returned, in this version or an older one.

        Args:
            values: ``name``, ``method`` and ``data``; other sections, and what is missing
                in a section, are as their defaults say.

        Raises:
            TypeError: If a value has the wrong type; the text names it.
            ValueError: If a key is missing or unknown, with the nearest known ones, or a value out
                of range.
        """
        for key in values:
            if key not in ("name", "method", *_SECTIONS):
                raise unknown_name("key of a config", key, ("name", "method", *_SECTIONS))
        # Without the section it would be some data set, not that of the run.
        missing = [k for k in ("name", "method", "data") if k not in values]
        if missing:
            raise ValueError(f"the config lacks {', '.join(missing)}")
        for key in ("name", "method"):
            if not isinstance(values[key], str):
                raise TypeError(f"'{key}' must be a string, got {values[key]!r}")
        if values["method"] not in METHODS:
            raise unknown_name("method", values["method"], METHODS)
        return cls(
            name=values["name"],
            model=_build(METHODS[values["method"]], values.get("model", {}), "model"),
            data=_build(DataConfig, values["data"], "data"),
            train=_build(TrainConfig, values.get("train", {}), "train"),
            sampling=_build(SamplingConfig, values.get("sampling", {}), "sampling"),
        )


def _differences(before: Experiment, after: Experiment) -> dict[str, Any]:
    """What differs between two experiments, by section and setting, as JSON can hold it.

    Where the network is of another method, what differs from that method's defaults.
    """
    changes: dict[str, Any] = {}
    for section in _SECTIONS:
        old, new = getattr(before, section), getattr(after, section)
        if type(old) is not type(new):
            changes["method"], old = after.method, type(new)()
        values = {f.name: getattr(new, f.name) for f in fields(new) if f.name not in _FREE}
        changes |= {
            f"{section}.{name}": _same_if_equal(value)
            for name, value in values.items()
            if value != getattr(old, name)
        }
    return changes


def _same_if_equal(value: Any) -> Any:
    """A copy that JSON writes in the same way if it is equal, as ``1`` and ``1.0`` are."""
    if isinstance(value, list | tuple):
        return [_same_if_equal(each) for each in value]
    if isinstance(value, dict):
        return {key: _same_if_equal(each) for key, each in value.items()}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value + 0.0 if is_number and value == value + 0.0 else value


def _build(config: type[T], values: Mapping[str, Any], section: str) -> T:
    if not isinstance(values, Mapping):
        raise TypeError(f"'{section}' must hold keys and values, got {values!r}")
    known = [f.name for f in fields(config)]  # type: ignore[arg-type]
    for key in values:
        if not isinstance(key, str):
            raise TypeError(f"keys of '{section}' must be strings, got {key!r}")
        if key not in known:
            raise unknown_name(f"key of '{section}'", key, known)
    return config(**{key: _with_tuples(value) for key, value in values.items()})


def _with_lists(value: Any) -> Any:
    """A copy with a list for every tuple."""
    if isinstance(value, dict):
        return {key: _with_lists(each) for key, each in value.items()}
    return [_with_lists(each) for each in value] if isinstance(value, tuple) else value


def _with_tuples(value: Any) -> Any:
    """A copy with a tuple for every list."""
    return tuple(_with_tuples(each) for each in value) if isinstance(value, list) else value
