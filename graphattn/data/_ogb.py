"""Reading OGB's node sets through ogb's class, which must neither ask nor print nor phone home."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch_geometric.data import Data
from torch_geometric.utils import index_to_mask, scatter

from graphattn.data._cache import cached_file
from graphattn.data._card import Card
from graphattn.data._files import (
    check_hashes,
    damaged,
    downloading,
    is_writable,
    quiet,
    staging,
)
from graphattn.data._pyg import located
from graphattn.data._trusted import trusted_globals

__all__ = ["official_meta", "read_ogb"]


def read_ogb(card: Card, split: str | None, base: Path, *, present: bool) -> Data:
    """Read an OGB node set; download it first unless it is present."""
    home = base / card.raw(split)
    meta = {**official_meta(card.loader.name), "dir_path": str(home)}
    if not present:
        _download(card, home, meta)
    raw = home / "raw"
    if not is_writable(raw) and (raw / "species.csv.gz").exists():
        meta["additional node files"] = "None"  # ogb would rename this file of ogbn-proteins
    with staging(cached_file(card, split, base).parent) as folder, _trusted_globals(), quiet():
        cls = located(
            _dataset_class(),
            raw=raw,
            processed=Path(folder) / "processed",
            fetching=None,
            verify=lambda: check_hashes(card, split, home),
        )
        dataset = cls(card.loader.name, meta_dict=meta)
        with damaged("split", home / "split"):
            parts = dataset.get_idx_split()
    return _with_masks(dataset[0], parts)


def official_meta(name: str) -> dict[str, Any]:
    """What ogb knows about one of its node sets."""
    table = Path(sys.modules[_dataset_class().__module__].__file__ or "").with_name("master.csv")
    return dict(pd.read_csv(table, index_col=0, keep_default_na=False)[name])


def _with_masks(data: Data, parts: dict[str, Any]) -> Data:
    """Split indices become masks; a set without node features gets those of its edges."""
    data.num_nodes = int(data.num_nodes)
    for name, part in (("train_mask", "train"), ("val_mask", "valid"), ("test_mask", "test")):
        data[name] = index_to_mask(torch.as_tensor(parts[part]), size=data.num_nodes)
    if data.x is None:
        data.x = scatter(data.edge_attr, data.edge_index[1], dim_size=data.num_nodes, reduce="mean")
    return data


def _dataset_class() -> Any:
    """Import ogb's class without ogb's look for newer versions of itself, which uses the network.

    ogb starts it in a thread when it is imported, unless the package ``outdated`` is missing.
    """
    if "ogb" in sys.modules:
        from ogb.nodeproppred import PygNodePropPredDataset

        return PygNodePropPredDataset
    former = sys.modules.get("outdated")
    environment = os.environ.get("OUTDATED_IGNORE")
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        import ogb  # noqa: F401
    finally:
        _restore(sys.modules, "outdated", former)
        _restore(os.environ, "OUTDATED_IGNORE", environment)
    return _dataset_class()


def _restore(table: Any, key: str, former: Any) -> None:
    """Put back an entry, or the lack of one."""
    table.pop(key, None)
    if former is not None:
        table[key] = former


@contextmanager
def _trusted_globals() -> Iterator[None]:
    """Let ogb's plain ``torch.load`` read its own files with ``weights_only``, now the default.

    Besides PyG's storage these contain numpy's number of nodes and split indices.
    """
    with trusted_globals(), warnings.catch_warnings():
        # pandas lends ogb arrays that are read-only; nobody writes to the tensors made of them.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        yield


def _download(card: Card, home: Path, meta: dict[str, Any]) -> None:
    """Fetch and unpack the archive as ogb does, without its question for sizes above 1 GB."""
    from ogb.utils.url import download_url, extract_zip

    with staging(home) as folder, downloading(card, home):
        try:
            archive = download_url(meta["url"], folder, log=False)
        except RuntimeError as error:
            # ogb hides what stopped it: a full disk, a lost connection, Ctrl-C.
            raise error.__context__ or error from None
        with damaged("downloaded archive", Path(folder)):
            extract_zip(archive, folder, log=False)
        os.unlink(archive)
        home.parent.mkdir(parents=True, exist_ok=True)
        os.replace(Path(folder) / meta["download_name"], home)
