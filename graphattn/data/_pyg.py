"""Reading through PyG's classes, with raw and processed files where we want them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric import datasets
from torch_geometric.data import Data, download_url
from torch_geometric.utils import to_undirected

from graphattn.data._card import Card
from graphattn.data._files import (
    brief,
    check_hashes,
    damaged,
    downloading,
    processed_folder,
    publish,
    quiet,
    staging,
)

__all__ = ["located", "open_dataset", "read_npz", "read_pyg"]


def read_pyg(card: Card, split: str | None, base: Path, *, present: bool) -> Data:
    """Read a data set of ``torch_geometric.datasets``; download it first unless it is present."""
    raw = base / card.raw(split)
    target = processed_folder(card, raw, raw.parent / "processed")
    arguments = {**card.loader.arguments, **card.split(split).arguments}
    with staging(target) as folder:
        staged = Path(folder)
        staged_raw = raw if present else staged / "raw"
        cls = located(
            getattr(datasets, card.loader.name),
            raw=staged_raw,
            processed=(raw.parent / "processed", target, staged / "processed"),
            fetching=None if present else lambda: downloading(card, raw),
            verify=lambda: check_hashes(card, split, staged_raw),
        )
        dataset = open_dataset(lambda: cls(root=str(base), **arguments), target)
        if not present:
            publish(staged_raw, raw)
        publish(staged / "processed", target)
    return dataset[0]


def located(
    cls: Any,
    *,
    raw: Path,
    processed: tuple[Path, ...],
    fetching: Callable[[], Any] | None,
    verify: Callable[[], None],
) -> Any:
    """A subclass of a PyG data set class that reads and writes in given folders.

    Args:
        cls: The class.
        raw: Folder of the raw files.
        processed: The first that has all processed files is read; else the last one is written.
        fetching: Context to download in; ``None`` forbids to download.
        verify: Called before raw files are processed.
    """

    class Located(cls):
        @property
        def raw_dir(self) -> str:
            return str(raw)

        @property
        def processed_dir(self) -> str:
            names = self.processed_file_names
            names = [names] if isinstance(names, str) else names
            complete = (f for f in processed if all((f / name).is_file() for name in names))
            return str(next(complete, processed[-1]))

        def download(self) -> None:
            if fetching is None:
                raise FileNotFoundError(f"{cls.__name__} does not find its files in {str(raw)!r}")
            with fetching():
                super().download()

        def process(self) -> None:
            verify()
            with damaged("raw files", raw):
                super().process()

    return Located


def open_dataset(make: Callable[[], Any], target: Path) -> Any:
    """Construct a data set; an error then on means that its processed file is damaged."""
    try:
        with quiet():
            return make()
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"cannot read the processed files in {str(target)!r}; remove that folder to make them "
            f"anew ({brief(error)})"
        ) from error


def read_npz(card: Card, split: str | None, base: Path, *, present: bool) -> Data:
    """Read one file of the heterophilous-graphs collection that PyG has no class for."""
    raw = base / card.raw(split)
    with staging(raw) as folder:
        place = raw if present else Path(folder)
        if not present:
            with downloading(card, raw):
                download_url(f"{card.source}/{card.loader.name}", folder, log=False)
        check_hashes(card, split, place)
        with damaged("raw file", place):
            data = _parse_npz(place / card.loader.name)
        if not present:
            publish(place, raw)
    return data


def _parse_npz(path: Path) -> Data:
    """The arrays of the file as a graph; it has every undirected edge once."""
    with path.open("rb") as stream, np.load(stream) as arrays:
        data = Data(
            x=torch.from_numpy(arrays["node_features"]),
            y=torch.from_numpy(arrays["node_labels"]),
            edge_index=to_undirected(torch.from_numpy(arrays["edges"].T.astype(np.int64))),
        )
        for part in ("train", "val", "test"):
            data[f"{part}_mask"] = torch.from_numpy(arrays[f"{part}_masks"].T.copy())
    return data
