"""``load``: a data set by name, ready to train on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.utils import index_to_mask

from graphattn.data import _files
from graphattn.data._cache import cached_file, keep, recall
from graphattn.data._card import Card, card
from graphattn.data._splits import MASKS, random_split
from graphattn.data._tidy import tidy
from graphattn.data.check import check_card, check_data
from graphattn.data.transforms import to_csr

__all__ = ["load"]


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    seed: int = 0,
    offline: bool = False,
    sparse: bool = False,
    transform: Callable[[Data], Data] | None = None,
) -> Data:
    """Load a data set by name and check it against its card, or a graph of your own by its path.

    The first use downloads the set, after one line in the log (``graphattn``) that says what, from
    where and how big; nobody is ever asked. Raw files whose hash is known are compared with it
    before they are read for the first time; :func:`~graphattn.data.check_files` compares them at
    any time. Later loads read what the first one kept: a ``.safetensors`` file in a folder
    ``graphattn`` beside the raw files, or in the user's cache folder (``XDG_CACHE_HOME`` or
    ``~/.cache``) where the root is read-only. A load that fails leaves no file behind.

    Nothing in a data root is ever executed: what PyG and ogb leave there is not read, and raw files
    that are pickles must have the hash of the card, or hold arrays and plain containers only.

    Args:
        name: Name of the set, as :func:`~graphattn.data.cards` lists them; upper and lower case
            are the same. Or the path of a ``.pt`` file or of a folder with CSV files, as
            :func:`~graphattn.data.read_graph` reads them.
        root: Folder of all data sets. Default: the environment variable ``GRAPHATTN_DATA``, else
            the user's cache folder.
        split: Name of a protocol of the card; its default if not given. Or a rule to draw one by,
            such as ``"60/20/20"`` (see :func:`~graphattn.data.random_split`). For a path only a
            rule; the masks that the files have if not given.
        seed: Seed of a protocol that draws its split; without effect on the others.
        offline: Never use the network; also switched on by ``GRAPHATTN_OFFLINE=1``.
        sparse: Give ``x`` as a ``torch.sparse_csr`` matrix. Sets whose files are sparse (Amazon,
            CitationFull, Coauthor) are then never dense on the way.
        transform: Applied to the graph after the checks: any PyG transform, or
            :class:`~graphattn.data.SparseFeatures`.

    Returns:
        A graph with ``x`` in ``float32``, ``edge_index``, ``y`` (``[N]``, -1 where unknown; or
        ``[N, T]`` in ``float32`` for a multilabel task), ``train_mask``, ``val_mask`` and
        ``test_mask`` of shape ``[N]``, or ``[N, S]`` for a protocol of several splits (see
        :func:`~graphattn.data.select_split`), and ``num_classes``.

    Raises:
        ValueError: If there is no such set or split, if a raw file is damaged or not the published
            one, or if the set is not what its card says; the error says exactly what differs.
        FileNotFoundError: If files are missing and the network is off; the error lists them.
        FileExistsError: If an incomplete OGB set is in the way of a download.
        OSError: If downloading fails or the disk is full.

    Example:
        >>> load("digits")  # doctest: +ELLIPSIS
        Data(x=[1797, 64], edge_index=[2, 19858], y=[1797], num_classes=10, ...)
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"'seed' must be an integer, got {seed!r}")
    path = _files.own_path(name) if isinstance(name, str) else None
    if path is not None:
        data = _own(path, split, seed)
    else:
        data = _load_card(name, root, split, seed, offline=offline, sparse=sparse)
    if sparse:
        data.x = to_csr(data.x)
    return data if transform is None else transform(data)


def _own(path: Path, split: str | None, seed: int) -> Data:
    """A graph of the user's, checked."""
    from graphattn.data._own import read_graph

    data = read_graph(path)
    try:
        if split is not None:
            data = random_split(data, split, seed=seed)
        check_data(data)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error
    return data


def _load_card(
    name: str,
    root: str | os.PathLike[str] | None,
    split: str | None,
    seed: int,
    *,
    offline: bool,
    sparse: bool,
) -> Data:
    """A data set with a card, compared with it."""
    found = card(name)
    protocol = found.split(split)
    read, file = _read(found, split, root, offline=offline)
    data = _tidy(read, found, sparse=sparse)
    if protocol.draw:
        seed = seed if protocol.seed is None else protocol.seed
        data = random_split(data, protocol.draw, seed=seed)
    check_card(data, found, split=split)
    if file is not None:
        keep(read, file)
    return data


def _read(
    found: Card, split: str | None, root: str | os.PathLike[str] | None, *, offline: bool
) -> tuple[Data, Path | None]:
    """The graph as its reader gives it, and the file to keep it in unless it comes from there.

    Readers load late, since ogb takes a second to import.
    """
    if found.loader.kind == "builtin":
        from graphattn.data.digits import digits

        return digits(), None
    place = _files.resolve_root(root)
    base, present = _files.find_raw(found, split, place, offline=_files.is_offline(offline))
    if not present:
        _files.announce_download(found, base / found.raw(split))
    if found.loader.kind == "npz":
        from graphattn.data._pyg import read_npz

        # A file of arrays is read as fast as a kept graph.
        return _with_parts(read_npz(found, split, base, present=present), found, split, base), None
    kept = recall(cached_file(found, split, base)) if present else None
    if kept is not None:
        return _with_parts(kept, found, split, base), None
    if found.loader.kind == "ogb":
        from graphattn.data._ogb import read_ogb as read
    else:
        from graphattn.data._pyg import read_pyg as read
    data = read(found, split, base, present=present)
    return _with_parts(data, found, split, base), cached_file(found, split, base)


def _with_parts(data: Data, found: Card, split: str | None, base: Path) -> Data:
    """Add the masks of a protocol that has a file of its own."""
    if not found.split(split).ids:
        return data
    file = _files.check_ids(found, split, base)
    with _files.damaged("nodes of the parts", file.parent), np.load(file) as parts:
        for mask, part in zip(MASKS, ("train", "valid", "test"), strict=True):
            data[mask] = index_to_mask(torch.from_numpy(parts[part]), size=data.num_nodes)
    return data


def _tidy(data: Data, found: Card, *, sparse: bool) -> Data:
    """The same types for every set."""
    data = tidy(data)
    data.x = data.x.to(torch.float32)
    if sparse:
        data.x = to_csr(data.x)
    elif data.x.layout != torch.strided:
        data.x = data.x.to_dense()
    if found.task == "multilabel":
        data.y = data.y.to(torch.float32)
    data.num_classes = found.statistics.classes
    return data
