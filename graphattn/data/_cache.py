"""What was read once, kept as plain arrays: opening it executes nothing, whoever wrote it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch_geometric.data import Data

from graphattn.data import _files
from graphattn.data._card import Card
from graphattn.data._files import brief, cache_folder, publish, staging
from graphattn.data.transforms import csr

__all__ = ["cached_file", "keep", "recall"]

_FORM = 1  # another number for another form of what is kept
_PARTS = ("crow_indices", "col_indices", "values")


def cached_file(card: Card, split: str | None, base: Path) -> Path:
    """Where the graph of a data set is kept: beside its raw files, or in the user's cache.

    The name contains a hash of what is read (size and time of every raw file), so that changed
    files are read anew; in the user's cache, also of their place, so that two roots never share
    one.

    Args:
        card: The card.
        split: Protocol whose files are meant.
        base: Root that the raw files are in.
    """
    raw = base / card.raw(split)
    beside = (raw if card.loader.kind == "ogb" else raw.parent) / "graphattn"
    arguments = {**card.loader.arguments, **card.split(split).arguments}
    key = hashlib.sha256(repr((_FORM, card.loader.name, sorted(arguments.items()))).encode())
    for file in sorted(card.raw_files(split)):
        stat = (base / file).stat()
        key.update(f"\n{file} {stat.st_size} {stat.st_mtime_ns}".encode())
    if _files.is_writable(beside):
        return beside / f"{card.name}-{key.hexdigest()[:16]}.safetensors"
    key.update(str(raw.resolve()).encode())
    return cache_folder() / "processed" / f"{card.name}-{key.hexdigest()[:16]}.safetensors"


def keep(data: Data, file: Path) -> None:
    """Write the tensors and numbers of a graph; the file appears whole or not at all.

    Args:
        data: A graph; a ``torch.sparse_csr`` tensor stays one. What is no tensor and no number is
            left out.
        file: Where to; missing folders are made.

    Raises:
        OSError: If it can't be written.
    """
    tensors: dict[str, Tensor] = {}
    manifest: dict[str, Any] = {"sparse": {}, "numbers": {}}
    for name, value in data.to_dict().items():
        if isinstance(value, int | float):
            manifest["numbers"][name] = value
        elif isinstance(value, Tensor) and value.layout == torch.sparse_csr:
            manifest["sparse"][name] = list(value.shape)
            for part in _PARTS:
                tensors[f"{name}.{part}"] = getattr(value, part)()
        elif isinstance(value, Tensor):
            tensors[name] = value
    # The format forbids that tensors share memory, as views of one array do.
    owned = {name: value.clone() if value._is_view() else value for name, value in tensors.items()}
    with staging(file.parent) as folder:
        staged = Path(folder) / "out"
        staged.mkdir()
        _write(
            {name: value.contiguous() for name, value in owned.items()},
            staged / file.name,
            {"graph": json.dumps(manifest)},
        )
        publish(staged, file.parent)


def _write(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
    """Write tensors; a full disk is an ``OSError`` as elsewhere."""
    try:
        save_file(tensors, file, metadata)
    except SafetensorError as error:
        # What the system said is in the text only.
        code = re.search(r"(?:os error|code:) (\d+)", str(error))
        text = f"cannot write {str(file)!r}: {error}"
        raise (OSError(int(code.group(1)), text) if code else OSError(text)) from error


def recall(file: Path) -> Data | None:
    """Read what :func:`keep` wrote.

    Args:
        file: The file.

    Returns:
        The graph, or ``None`` if there is no such file.

    Raises:
        ValueError: If the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            manifest = json.loads(stored.metadata()["graph"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        data = Data(**manifest["numbers"])
        for name, shape in manifest["sparse"].items():
            parts = [tensors.pop(f"{name}.{part}") for part in _PARTS]
            data[name] = csr(parts[0], parts[1], parts[2], shape)
        for name, value in tensors.items():
            data[name] = value
    except Exception as error:
        # Any content is possible; a full memory or a missing permission is no damage.
        if isinstance(error, MemoryError | OSError):
            raise
        raise ValueError(
            f"cannot read {str(file)!r}; remove it to have it made anew ({brief(error)})"
        ) from error
    return data
