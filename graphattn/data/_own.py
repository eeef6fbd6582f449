"""Graphs of one's own: a ``.pt`` file with a ``Data``, or a folder with two CSV files."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from graphattn.data._files import brief, own_files
from graphattn.data._splits import MASKS
from graphattn.data._tidy import tidy
from graphattn.data._trusted import trusted_globals

__all__ = ["read_graph"]

_NO_TABLE = (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError)
_PARTS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "": 3}
_UNKNOWN = ("", "-1", "-1.0", "nan", "NaN", "NA")


def read_graph(path: str | os.PathLike[str]) -> Data:
    """Read a graph of your own, in the form that training expects.

    A **.pt file** is what ``torch.save`` made of a PyG ``Data`` (or of a dictionary with its
    entries). It is read without executing anything: one with other objects is refused.

    A **folder** holds two CSV files with commas, a header and UTF-8 text. Every row of
    ``nodes.csv`` is a node, in this order:

    - ``id``: its name, any text or number, each once;
    - ``label``: its class, any text or number, or nothing (or -1 or NaN) where unknown. Classes
      are numbered in the order of their names (of numbers, if all are); ``class_names`` has the
      names;
    - ``split`` (may be missing): ``train``, ``val``, ``test`` or nothing. For several splits,
      columns ``split_0``, ``split_1`` and so on;
    - every other column is a feature: numbers, none missing.

    Every row of ``edges.csv`` is an edge: ``source`` and ``target`` name nodes by their ``id``, and
    every other column is a feature of the edge. An edge counts in the direction in which it stands.

    Args:
        path: The file or folder.

    Returns:
        A graph as :func:`~graphattn.data.tidy` makes it, with ``x`` in ``float32``,
        ``num_classes``, masks if the file has them, and ``edge_attr`` if edges have features.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file can't be read; for CSV the error names file, line, column and value.
    """
    place = Path(path).expanduser()
    files = own_files(place)
    data = tidy(_read_csv(*files) if len(files) > 1 else _read_pt(place))
    if isinstance(x := data.get("x"), Tensor) and x.is_floating_point():
        data.x = x.to(torch.float32)
    y = data.get("y")
    if "num_classes" not in data.keys() and isinstance(y, Tensor) and y.numel():  # noqa: SIM118
        data.num_classes = y.size(1) if y.dim() == 2 else int(y.max()) + 1
    return data


def _read_pt(path: Path) -> Data:
    """What torch reads with ``weights_only``, if it is a graph."""
    try:
        with trusted_globals():
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # A damaged file can end torch's reader in any way.
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it holds {foreign.group(1)}" if foreign else brief(error)
        raise ValueError(
            f"{str(path)!r} is no graph that can be read without executing code ({why}); save a "
            "plain one with torch.save(Data(x=..., edge_index=..., y=...), path)"
        ) from error
    if isinstance(found, Mapping) and all(isinstance(key, str) for key in found):
        found = Data(**found)
    if not isinstance(found, Data):
        raise ValueError(
            f"{str(path)!r} must hold a torch_geometric.data.Data, or a dictionary with its "
            f"entries, got {type(found).__name__}"
        )
    return found


def _read_csv(nodes_file: Path, edges_file: Path) -> Data:
    """Two tables as a graph."""
    nodes = _Table(nodes_file, ("id",), text=("id", "label", "split"))
    splits = [name for name in nodes.columns if name == "split" or name.startswith("split_")]
    features = [name for name in nodes.columns if name not in ("id", "label", *splits)]
    if not features:
        raise ValueError(
            f"{nodes_file}: there is no column with a feature besides id, label and split; give "
            "each node at least one number"
        )
    ids = pd.Index(nodes.strings("id"))
    if len(blank := np.flatnonzero(ids == "")):
        nodes.refuse(int(blank[0]), "id", "a node needs a name")
    if len(again := np.flatnonzero(ids.duplicated())):
        first = int(np.flatnonzero(ids == ids[again[0]])[0])
        nodes.refuse(int(again[0]), "id", f"line {nodes.line(first)} has it, too")
    edges = _Table(edges_file, ("source", "target"), text=("source", "target"))
    ends = []
    for column in ("source", "target"):
        found = ids.get_indexer(pd.Index(edges.strings(column)))
        if len(unknown := np.flatnonzero(found < 0)):
            edges.refuse(int(unknown[0]), column, f"no row of {nodes_file.name} has this id")
        ends.append(torch.from_numpy(found.astype(np.int64)))
    data = Data(x=nodes.numbers(features), edge_index=torch.stack(ends))
    if attributes := [name for name in edges.columns if name not in ("source", "target")]:
        data.edge_attr = edges.numbers(attributes)
    if "label" in nodes.columns:
        data.y, names = _classes(nodes)
        data.class_names, data.num_classes = names, len(names)
    if splits:
        parts = [_parts(nodes, name) for name in splits]
        which = parts[0] if splits == ["split"] else torch.stack(parts, dim=1)
        for number, name in enumerate(MASKS):
            data[name] = which == number
    return data


def _classes(nodes: _Table) -> tuple[Tensor, list[str]]:
    """Number of the class of every node, and the names of the classes."""
    labels = nodes.strings("label")
    known = ~np.isin(labels, _UNKNOWN)
    names = np.unique(labels[known])
    values = pd.to_numeric(pd.Series(names), errors="coerce").to_numpy(dtype=np.float64)
    if not np.isnan(values).any():
        names = names[np.argsort(values, kind="stable")]
        if len(negative := np.flatnonzero(np.isin(labels, names[np.sort(values) < 0]))):
            nodes.refuse(int(negative[0]), "label", "a class must not be negative (-1 is unknown)")
    if len(names) < 2:
        raise ValueError(
            f"{nodes.file}: column 'label' must name at least two classes, got {names.tolist()} "
            "(nothing, -1 and NaN mean that the class is unknown)"
        )
    found = pd.Index(names).get_indexer(pd.Index(labels))
    return torch.from_numpy(np.where(known, found, -1).astype(np.int64)), names.tolist()


def _parts(nodes: _Table, column: str) -> Tensor:
    """Number of the part of every node: 0 to 2, and 3 for none."""
    words = nodes.strings(column)
    for word in np.unique(words):
        if word.lower() not in _PARTS:
            row = int(np.flatnonzero(words == word)[0])
            nodes.refuse(row, column, "expected train, val, test or nothing")
    return torch.tensor([_PARTS[word.lower()] for word in words])


class _Table:
    """A CSV file that knows its lines.

    Numbers are read as such, which takes a tenth of the memory of text; only to name a value that
    is none the file is read once more, as text.
    """

    def __init__(self, file: Path, needed: tuple[str, ...], *, text: tuple[str, ...]) -> None:
        self.file = file
        self.columns = [str(name).strip() for name in self._read(nrows=1, dtype=str).iloc[0]]
        for name in needed:
            if name not in self.columns:
                hint = "" if len(self.columns) > 1 else "; columns must be separated by commas"
                raise ValueError(
                    f"{file}: there is no column {name!r}, got {', '.join(self.columns)}{hint}"
                )
        for name in self.columns:
            if not name or self.columns.count(name) > 1:
                raise ValueError(f"{file}, line 1: the column {name!r} must be there once")
        self._text = [n for n in self.columns if n in text or n.startswith("split_")]
        kinds = {n: str if n in self._text else np.float32 for n in self.columns}
        try:
            self._table = self._read(names=self.columns, skiprows=1, dtype=kinds)
        except ValueError:
            self._find_wrong_number()
            raise
        # Lines without anything, such as one at the end, are no rows.
        self._table = self._table[~self._table.isna().all(axis=1)]

    def strings(self, column: str) -> NDArray[np.str_]:
        """The cells of a column, without blanks around them."""
        return self._table[column].fillna("").str.strip().to_numpy(dtype=str)

    def numbers(self, columns: list[str]) -> Tensor:
        """Some columns as ``float32``, shape ``[rows, columns]``."""
        values = self._table[columns].to_numpy(dtype=np.float32)
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            row, column = (int(place) for place in wrong[0])
            self.refuse(row, columns[column], "expected a finite number")
        return torch.from_numpy(np.require(values, requirements=["C", "W"]))

    def line(self, row: int) -> int:
        """Line of the file where a row stands, from 1; cells can contain line breaks."""
        place = int(self._table.index[row])
        above = self._read(names=self.columns, skiprows=1, nrows=place, dtype=str)
        breaks = sum(int(above[name].str.count("\n").sum()) for name in self.columns)
        return place + 2 + breaks

    def refuse(self, row: int, column: str, why: str) -> NoReturn:
        """Raise the error for a cell."""
        place = int(self._table.index[row])
        cells = self._read(names=self.columns, skiprows=1, nrows=place + 1, dtype=str)
        value = cells[column].fillna("").iloc[place]
        raise ValueError(
            f"{self.file}, line {self.line(row)}, column {column!r}: got {value!r}, {why}"
        )

    def _find_wrong_number(self) -> None:
        """Raise the error for the first cell that is text where a number is expected."""
        self._table = self._read(names=self.columns, skiprows=1, dtype=str)
        for column in self.columns:
            if column not in self._text:
                cells = self._table[column].fillna("").str.strip()
                bad = pd.to_numeric(cells.where(cells != "", "0"), errors="coerce").isna()
                if bad.any():
                    self.refuse(int(np.flatnonzero(bad)[0]), column, "expected a finite number")

    def _read(self, **options: Any) -> pd.DataFrame:
        try:
            with warnings.catch_warnings():
                # pandas would cut off cells that no column is there for.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table: pd.DataFrame = pd.read_csv(
                    self.file,
                    encoding="utf-8-sig",
                    header=None,
                    keep_default_na=False,
                    na_values=[""],
                    skip_blank_lines=False,
                    skipinitialspace=True,
                    index_col=False,
                    **options,
                )
                return table
        except (*_NO_TABLE, UnicodeDecodeError) as error:
            raise ValueError(
                f"{self.file} is no table in CSV and UTF-8 ({brief(error)})"
            ) from error
