"""Cards: what every data set is, where it comes from, and what it must look like once loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from graphattn._core.errors import unknown_name
from graphattn.data._rule import SplitRule, is_rule

__all__ = ["Card", "Loader", "Split", "Statistics", "card", "cards", "has_card"]

T = TypeVar("T")


@dataclass(frozen=True)
class Loader:
    """How the raw files of a data set become a graph."""

    kind: Literal["pyg", "ogb", "npz", "builtin"]
    """A class of ``torch_geometric.datasets``, an OGB node set, one ``.npz`` file, or built in."""
    name: str
    """Name of the class, of the OGB set, of the file, or of the built-in set."""
    raw: str = ""
    """Folder of the raw files below the root."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the class, besides its root."""


@dataclass(frozen=True)
class Statistics:
    """Counts of a data set; ``None`` is not stated and not checked."""

    nodes: int
    """Number of nodes."""
    edges: int
    """Number of columns of ``edge_index``: an undirected edge counts twice."""
    features: int
    """Features per node."""
    classes: int
    """Classes, or labels per node of a multilabel task."""
    undirected: bool | None = None
    """Whether every edge is there in both directions."""
    self_loops: int | None = None
    """Number of edges from a node to itself."""


@dataclass(frozen=True)
class Split:
    """One protocol that divides the nodes into training, validation and test."""

    sizes: tuple[int, int, int] | None = None
    """Nodes for training, validation and test in the first split."""
    count: int = 1
    """How many splits there are."""
    draw: str = ""
    """Rule that a drawn split follows (see :func:`~graphattn.data.random_split`); empty for a
    stored one."""
    ids: str = ""
    """File below the root with the nodes of the parts, for a split that the raw files lack."""
    seed: int | None = None
    """The one seed of a drawn split that is always the same; ``None`` leaves it to the caller."""
    raw: str = ""
    """Folder of the raw files below the root, where it isn't the loader's."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the loader's class."""
    note: str = ""
    """Where the split comes from."""


@dataclass(frozen=True)
class Card:
    """All that is known about a data set before it is loaded."""

    name: str
    """Name to load it by."""
    title: str
    """Name in the literature, and what nodes, edges and labels are."""
    task: Literal["multiclass", "multilabel"]
    """One label per node, or several independent ones."""
    loader: Loader
    """What reads it."""
    source: str
    """Address the raw files come from."""
    citation: str
    """Who made it."""
    licence: str
    """What is known about its licence."""
    statistics: Statistics
    """What it must look like."""
    splits: Mapping[str, Split]
    """Protocols by name."""
    default_split: str
    """The protocol used when none is named."""
    alternatives: tuple[Statistics, ...] = ()
    """Other forms in circulation under the same name, as good as the first."""
    files: Mapping[str, str | None] = field(default_factory=dict)
    """Raw files by their path below the root, with the sha256 of each where it is known."""
    download_bytes: int | None = None
    """Size of the download, about."""
    note: str = ""
    """What a user should know."""

    def split(self, name: str | None = None) -> Split:
        """The protocol of that name, or the default one.

        Args:
            name: Name of the protocol, or a rule to draw one by, such as ``"60/20/20"``; ``None``
                is the default.

        Raises:
            ValueError: If there is none of that name, or it is no rule.
        """
        name = self.default_split if name is None else name
        if name not in self.splits and is_rule(name):
            SplitRule.parse(name)
            return Split(draw=name, note="Drawn anew by seed.")
        if name not in self.splits:
            raise unknown_name(f"split of {self.name}", name, self.splits)
        return self.splits[name]

    def raw(self, split: str | None = None) -> str:
        """Folder below the root where the raw files of a protocol lie.

        Args:
            split: Name of the protocol; ``None`` is the default.
        """
        return self.split(split).raw or self.loader.raw

    def raw_files(self, split: str | None = None) -> dict[str, str | None]:
        """Raw files that a protocol needs: path below the root, and sha256 where known.

        Args:
            split: Name of the protocol; ``None`` is the default.
        """
        folder, ids = self.raw(split), self.split(split).ids
        return {
            file: sha
            for file, sha in self.files.items()
            if file.startswith(f"{folder}/") or file == ids
        }


def card(name: str) -> Card:
    """The card of a data set.

    Args:
        name: Name of the set; upper and lower case are the same.

    Raises:
        ValueError: If there is no such set; the error names the nearest ones.
        TypeError: If ``name`` is not a string.

    Example:
        >>> card("Cora").statistics.nodes
        2708
    """
    if not isinstance(name, str):
        raise TypeError(f"'name' must be a string, got {name!r}")
    paths = {path.stem.lower(): path for path in _folder().glob("*.yaml")}
    if name.lower() not in paths:
        raise unknown_name("data set", name, (path.stem for path in paths.values()))
    return read_card(paths[name.lower()])


def cards() -> tuple[Card, ...]:
    """The cards of all data sets, by name."""
    paths = sorted(_folder().glob("*.yaml"), key=lambda path: path.stem)
    return tuple(read_card(path) for path in paths)


def has_card(name: str) -> bool:
    """Whether there is a data set of that name.

    Args:
        name: Any name; upper and lower case are the same.
    """
    return any(path.stem.lower() == name.lower() for path in _folder().glob("*.yaml"))


@cache
def read_card(path: Path) -> Card:
    """Read one card.

    Args:
        path: The YAML file; its name must be that of the set.

    Raises:
        ValueError: If a key is unknown or missing; the error names file and key.
    """
    values = dict(_mapping(yaml.safe_load(path.read_text(encoding="utf-8")), path.name))
    for key, cls in (("loader", Loader), ("statistics", Statistics)):
        if key in values:
            values[key] = _build(cls, values[key], f"{path.name}: {key}")
    if "splits" in values:
        values["splits"] = {
            name: _build(Split, _sizes_as_tuple(split), f"{path.name}: splits: {name}")
            for name, split in _mapping(values["splits"], f"{path.name}: splits").items()
        }
    values["alternatives"] = tuple(
        _build(Statistics, entry, f"{path.name}: alternatives")
        for entry in values.get("alternatives", ())
    )
    result = _build(Card, values, path.name)
    _check(result, path)
    return result


def _folder() -> Path:
    """Where the cards lie: in the package when installed, else at the top of the repository."""
    installed = Path(__file__).with_name("datasets")
    return installed if installed.is_dir() else Path(__file__).parents[2] / "datasets"


def _build(cls: type[T], values: object, where: str) -> T:
    """Make a dataclass of a mapping that has all required keys and no unknown one."""
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    values = _mapping(values, where)
    for key in values:
        if key not in known:
            raise unknown_name(f"key of {where}", str(key), known)
    needed = [
        name
        for name, f in known.items()
        if f.default is MISSING and f.default_factory is MISSING and name not in values
    ]
    if needed:
        raise ValueError(f"{where}: missing {', '.join(map(repr, needed))}")
    return cls(**values)


def _mapping(values: object, where: str) -> Mapping[str, Any]:
    """``values`` if it is a mapping."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: expected keys and values, got {values!r}")
    return values


def _sizes_as_tuple(split: object) -> object:
    """YAML has lists only."""
    if isinstance(split, Mapping) and isinstance(split.get("sizes"), list):
        return {**split, "sizes": tuple(split["sizes"])}
    return split


def _check(result: Card, path: Path) -> None:
    """What must agree between the entries of one card."""
    if result.name != path.stem:
        raise ValueError(f"{path.name}: 'name' is {result.name!r}, expected {path.stem!r}")
    if result.task not in ("multiclass", "multilabel"):
        raise ValueError(f"{path.name}: 'task' is {result.task!r}, not multiclass or multilabel")
    if result.loader.kind not in ("pyg", "ogb", "npz", "builtin"):
        raise ValueError(f"{path.name}: 'kind' is {result.loader.kind!r}, not a kind of loader")
    result.split()
    for name, split in result.splits.items():
        if is_rule(name):
            raise ValueError(f"{path.name}: splits: the name {name!r} looks like a rule")
        if split.draw:
            SplitRule.parse(split.draw)
        if split.ids and split.ids not in result.files:
            raise ValueError(f"{path.name}: splits: {name}: 'ids' is not among 'files'")
