"""Reading through PyG's classes, with raw and processed files where we want them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric import datasets
from torch_geometric.data import Data, download_url
from torch_geometric.utils import to_undirected

from graphattn.data._attributed import read_attributed
from graphattn.data._card import Card
from graphattn.data._files import check_hashes, damaged, downloading, publish, quiet, staging
from graphattn.data._pickles import check_pickles

__all__ = ["located", "read_npz", "read_pyg"]

_ATTRIBUTED = ("Amazon", "CitationFull", "Coauthor")


def read_pyg(card: Card, split: str | None, base: Path, *, present: bool) -> Data:
    """Read a data set of ``torch_geometric.datasets``; download it first unless it is present."""
    raw = base / card.raw(split)
    arguments = {**card.loader.arguments, **card.split(split).arguments}
    found: list[Data] = []
    with staging(raw) as folder:
        place = raw if present else Path(folder) / "raw"

        def verify() -> None:
            check_hashes(card, split, place)
            check_pickles(card, split, place)

        cls = located(
            getattr(datasets, card.loader.name),
            raw=place,
            processed=Path(folder) / "processed",
            fetching=None if present else lambda: downloading(card, raw),
            verify=verify,
            parse=read_attributed if card.loader.name in _ATTRIBUTED else None,
            found=found,
        )
        with quiet():
            cls(root=str(base), **arguments)
        if not present:
            publish(place, raw)
    return found[0]


def located(
    cls: Any,
    *,
    raw: Path,
    processed: Path,
    fetching: Callable[[], Any] | None,
    verify: Callable[[], None],
    parse: Callable[[Path], Data] | None = None,
    found: list[Data] | None = None,
) -> Any:
    """A subclass of a PyG data set class that reads and writes in given folders.

    Args:
        cls: The class.
        raw: Folder of the raw files.
        processed: An empty folder for what PyG keeps, so that it never reads what others left: it
            reads pickles.
        fetching: Context to download in; ``None`` forbids to download.
        verify: Called before raw files are processed.
        parse: Reads the first raw file in place of the class's own method.
        found: Gets the graph, which then is neither written nor read back.
    """

    class Located(cls):
        @property
        def raw_dir(self) -> str:
            return str(raw)

        @property
        def processed_dir(self) -> str:
            return str(processed)

        def download(self) -> None:
            if fetching is None:
                raise FileNotFoundError(f"{cls.__name__} does not find its files in {str(raw)!r}")
            with fetching():
                super().download()

        def process(self) -> None:
            verify()
            with damaged("raw files", raw):
                if parse is not None and found is not None:
                    found.append(parse(Path(self.raw_paths[0])))
                else:
                    super().process()

        def save(self, data_list: Any, path: str) -> None:
            if found is None:
                super().save(data_list, path)
            else:
                found.extend(data_list)

        def load(self, path: str, data_cls: type[Data] = Data) -> None:
            if found is None:
                super().load(path, data_cls)

    return Located


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
