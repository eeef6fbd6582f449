"""Poisoned files of every kind that a reader of PyG would unpickle: none may be executed."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from torch_geometric.data import Data

from graphattn.data import _cache, card, load
from graphattn.data._files import cache_folder
from graphattn.data._pickles import check_pickles

WriteCard = Callable[..., None]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.place),))


@pytest.fixture
def evil(tmp_path: Path) -> Any:
    yield Evil(tmp_path / "executed")
    assert not (tmp_path / "executed").exists()


def test_the_poison_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["pre_transform.pt", "pre_filter.pt", "data.pt"])
@pytest.mark.parametrize("loads", [1, 2])
def test_processed_files_of_others(
    ring: Path, write_card: WriteCard, evil: Evil, name: str, loads: int
) -> None:
    """Beside the raw files, where PyG keeps its own, and where ours are kept."""
    home = ring / "WebKB" / "texas"
    if loads == 2:
        load("ring", root=ring)
    kept = _cache.cached_file(card("ring"), None, ring)
    for folder in (home / "processed", home / "graphattn", cache_folder() / "processed"):
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(evil, folder / name)
        torch.save(evil, folder / kept.name.replace(".safetensors", ".pt"))
    assert load("ring", root=ring).num_nodes == 30


@pytest.mark.parametrize("place", ["beside", "cache"])
def test_a_pickle_in_place_of_our_own_file(
    ring: Path, write_card: WriteCard, evil: Evil, place: str
) -> None:
    home = ring / "WebKB" / "texas"
    if place == "cache":
        home.chmod(0o555)
    load("ring", root=ring)
    kept = _cache.cached_file(card("ring"), None, ring)
    assert kept.is_relative_to(home if place == "beside" else cache_folder())
    torch.save(evil, kept)
    with pytest.raises(ValueError, match=f"cannot read '{kept}'; remove it"):
        load("ring", root=ring)
    home.chmod(0o755)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["graph", "allx", "y"])
def test_planetoid_without_hashes(
    ring: Path, write_card: WriteCard, evil: Evil, name: str, protocol: int
) -> None:
    folder = ring / "PubMed" / "raw"
    folder.mkdir(parents=True)
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    for part in parts:
        content = evil if part == name else np.ones((3, 2))
        (folder / f"ind.pubmed.{part}").write_bytes(pickle.dumps(content, protocol))
    write_card(
        loader={
            "kind": "pyg",
            "name": "Planetoid",
            "raw": "PubMed/raw",
            "arguments": {"name": "PubMed"},
        },
        files={f"PubMed/raw/ind.pubmed.{part}": None for part in parts},
    )
    with pytest.raises(
        ValueError, match=rf"ind.pubmed.{name}' would execute code .*posix.mkdir.*f"
    ):
        load("ring", root=ring)


def test_objects_in_an_npz(ring: Path, write_card: WriteCard, evil: Evil) -> None:
    folder = ring / "Twitch" / "DE" / "raw"
    folder.mkdir(parents=True)
    nodes = np.arange(30)
    arrays = {"features": np.ones((30, 4)), "target": nodes % 3, "edges": np.stack([nodes] * 2, 1)}
    loader = {
        "kind": "pyg",
        "name": "Twitch",
        "raw": "Twitch/DE/raw",
        "arguments": {"name": "DE"},
    }
    statistics = {"nodes": 30, "edges": 30, "features": 4, "classes": 3}
    write_card(
        loader=loader,
        statistics=statistics,
        splits={"public": {"draw": "50/25/25"}},
        files={"Twitch/DE/raw/DE.npz": None},
    )
    # Words are harmless objects, and PyG reads them.
    np.savez(folder / "DE.npz", **{**arrays, "names": np.array(["a", "b"], dtype=object)})
    assert load("ring", root=ring).num_nodes == 30
    np.savez(folder / "DE.npz", **{**arrays, "target": np.array([evil] * 30, dtype=object)})
    with pytest.raises(ValueError, match=r"DE.npz' would execute code .* posix.mkdir"):
        load("ring", root=ring)


def write(path: Path, content: Any, form: str) -> None:
    if form == "npy":
        np.save(path, np.array([content], dtype=object))
        path.with_name(f"{path.name}.npy").rename(path)
    elif form == "npz":
        with path.open("wb") as stream:
            np.savez_compressed(stream, a=np.ones(3), b=np.array([[content]], dtype=object))
    elif form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, int(form)))


FORMS = ("npy", "npz", "torch", "2", "4", "5")


@pytest.mark.parametrize("form", FORMS)
def test_any_raw_file_without_a_hash(
    ring: Path, raw: str, write_card: WriteCard, evil: Evil, form: str
) -> None:
    write(ring / raw / "out1_graph_edges.txt", evil, form)
    write_card(files={f"{raw}/out1_graph_edges.txt": None})
    with pytest.raises(
        ValueError, match=r"out1_graph_edges.txt' would execute code .* posix.mkdir"
    ):
        check_pickles(card("ring"), None, ring / raw)


@pytest.mark.parametrize(
    "content",
    [
        np.ones((3, 2), dtype=np.float32),
        np.array(["word", 3], dtype=object),
        scipy.sparse.eye(3, format="csr"),
        scipy.sparse.eye(3, format="csc"),
        defaultdict(list, {0: [1, 2]}),
        {"a": [1, (2.0, None)]},
        np.float64(3),
    ],
)
@pytest.mark.parametrize("form", ["npz", "2", "4"])
def test_arrays_and_containers_pass(
    ring: Path, raw: str, write_card: WriteCard, content: Any, form: str
) -> None:
    write(ring / raw / "out1_graph_edges.txt", content, form)
    write_card(files={f"{raw}/out1_graph_edges.txt": None})
    check_pickles(card("ring"), None, ring / raw)


def test_a_damaged_pickle_is_named(ring: Path, raw: str, write_card: WriteCard) -> None:
    (ring / raw / "out1_graph_edges.txt").write_bytes(pickle.dumps([1, 2, 3])[:-2])
    write_card(files={f"{raw}/out1_graph_edges.txt": None})
    with pytest.raises(ValueError, match=r"out1_graph_edges.txt is damaged"):
        check_pickles(card("ring"), None, ring / raw)


def test_what_a_card_knows_is_trusted(ring: Path, raw: str, write_card: WriteCard) -> None:
    path = ring / raw / "out1_graph_edges.txt"
    path.write_bytes(pickle.dumps(print))
    write_card()
    check_pickles(card("ring"), None, ring / raw)


def test_real_pickles_without_hashes(real_root: Path, ring: Path, write_card: WriteCard) -> None:
    shutil.copytree(real_root / "Cora" / "raw", ring / "Cora" / "raw")
    write_card(
        loader={
            "kind": "pyg",
            "name": "Planetoid",
            "raw": "Cora/raw",
            "arguments": {"name": "Cora"},
        },
        statistics={"nodes": 2708, "edges": 10556, "features": 1433, "classes": 7},
        splits={"public": {"sizes": [140, 500, 1000]}},
        files={f"Cora/raw/{path.name}": None for path in (ring / "Cora" / "raw").iterdir()},
    )
    assert isinstance(load("ring", root=ring), Data)
