from __future__ import annotations

import builtins
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from graphattn.data import _card

REAL_DATA = os.environ.get("GRAPHATTN_DATA")
NODES, RAW = 30, "WebKB/texas/raw"


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no prompt, no cache or data folder of the user."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"must not be called: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(builtins, "input", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("GRAPHATTN_DATA", raising=False)
    monkeypatch.delenv("GRAPHATTN_OFFLINE", raising=False)


@pytest.fixture
def real_root(monkeypatch: pytest.MonkeyPatch) -> Path:
    if not REAL_DATA:
        pytest.skip("GRAPHATTN_DATA is not set")
    monkeypatch.setenv("GRAPHATTN_DATA", REAL_DATA)
    return Path(REAL_DATA)


@pytest.fixture
def tree() -> Callable[[Path], set[str]]:
    """All files and folders below a folder."""
    return lambda folder: {str(path.relative_to(folder)) for path in folder.rglob("*")}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_raw(folder: Path) -> None:
    """A ring of 30 nodes with 3 classes in the format of PyG's WebKB."""
    folder.mkdir(parents=True)
    rows = [
        f"{i}\t{','.join('1' if i % 4 == j else '0' for j in range(4))}\t{i % 3}"
        for i in range(NODES)
    ]
    (folder / "out1_node_feature_label.txt").write_text("\n".join(["header", *rows, ""]))
    edges = [f"{i}\t{(i + 1) % NODES}" for i in range(NODES)]
    (folder / "out1_graph_edges.txt").write_text("\n".join(["header", *edges, ""]))
    for split in range(10):
        part = (np.arange(NODES) + split) % 5
        np.savez(
            folder / f"texas_split_0.6_0.2_{split}.npz",
            train_mask=(part < 3).astype(np.uint8),
            val_mask=(part == 3).astype(np.uint8),
            test_mask=(part == 4).astype(np.uint8),
        )


@pytest.fixture
def raw() -> str:
    """Folder of the raw files of ``ring`` below its root."""
    return RAW


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """A root with the raw files of the set ``ring``."""
    write_raw(tmp_path / "root" / RAW)
    return tmp_path / "root"


REPOSITORY = _card._folder()


@pytest.fixture
def repository_cards(write_card: WriteCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cards of the repository again, after ``write_card``."""
    monkeypatch.setattr(_card, "_folder", lambda: REPOSITORY)


WriteCard = Callable[..., None]


@pytest.fixture
def write_card(tmp_path: Path, ring: Path, monkeypatch: pytest.MonkeyPatch) -> WriteCard:
    """Write a card, by default that of ``ring``, into the folder that cards are read from."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setattr(_card, "_folder", lambda: folder)

    def write(name: str = "ring", **changes: object) -> None:
        files = {f"{RAW}/{path.name}": sha256(path) for path in sorted((ring / RAW).iterdir())}
        values = {
            "name": name,
            "title": "Ring",
            "task": "multiclass",
            "loader": {"kind": "pyg", "name": "WebKB", "raw": RAW, "arguments": {"name": "Texas"}},
            "source": "https://example.org/ring",
            "citation": "nobody",
            "licence": "none",
            "statistics": {"nodes": NODES, "edges": NODES, "features": 4, "classes": 3},
            "default_split": "public",
            "splits": {
                "public": {"sizes": [18, 6, 6], "count": 10},
                "random": {"draw": "2-per-class/9/rest", "sizes": [6, 9, 15]},
            },
            "files": files,
            **changes,
        }
        _card.read_card.cache_clear()
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))

    write()
    return write


@pytest.fixture
def read_only(ring: Path) -> Iterator[Path]:
    """The root of ``ring`` without any write permission, which stops all but the superuser."""
    folders = [ring, *(path for path in ring.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield ring
    for folder in folders:
        folder.chmod(0o755)
