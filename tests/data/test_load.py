from __future__ import annotations

import errno
import gc
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.datasets import webkb
from torch_geometric.io import fs
from torch_geometric.transforms import ToUndirected

from graphattn.data import (
    SparseFeatures,
    _files,
    card,
    cards,
    check_files,
    load,
    select_split,
)
from graphattn.data._files import cache_folder

WriteCard = Callable[..., None]
Tree = Callable[[Path], set[str]]


pytestmark = [
    pytest.mark.usefixtures("write_card"),  # `ring` can be loaded, nothing else
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # see `no_open_files`
]


@pytest.fixture(autouse=True)
def no_open_files() -> Iterator[None]:
    """PyG leaves files open when reading fails; close them here, not in somebody else's test."""
    yield
    gc.collect()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, ring: Path, raw: str, tmp_path: Path) -> list[str]:
    """Files that PyG downloads come from a folder; the list has those that were asked for."""
    shutil.move(ring / raw, tmp_path / "server")
    shutil.rmtree(ring)
    asked: list[str] = []

    def download(url: str, folder: str, **kwargs: Any) -> str:
        asked.append(url)
        return shutil.copy(tmp_path / "server" / url.rpartition("/")[2], folder)

    monkeypatch.setattr(webkb, "download_url", download)
    return asked


def test_graph_as_promised(ring: Path) -> None:
    data = load("Ring", root=ring)
    assert (data.num_nodes, data.num_edges, data.num_features, data.num_classes) == (30, 30, 4, 3)
    assert (data.x.dtype, data.y.dtype) == (torch.float32, torch.int64)
    for name, size in (("train_mask", 18), ("val_mask", 6), ("test_mask", 6)):
        assert data[name].dtype == torch.bool
        assert data[name].sum(dim=0).tolist() == [size] * 10
    assert select_split(data, 9).train_mask.shape == (30,)


def test_root_from_the_environment(ring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHATTN_DATA", str(ring))
    assert load("ring", offline=True).num_nodes == 30


def test_second_load_reads_what_the_first_made(
    ring: Path, monkeypatch: pytest.MonkeyPatch, tree: Tree
) -> None:
    first = load("ring", root=ring)
    (made,) = (ring / "WebKB" / "texas" / "graphattn").iterdir()
    assert made.suffix == ".safetensors"
    assert not (ring / "WebKB" / "texas" / "processed").exists()
    monkeypatch.setattr(webkb.WebKB, "process", lambda self: pytest.fail("processed again"))
    second = load("ring", root=ring)
    assert set(first.keys()) == set(second.keys())
    for name in ("x", "y", "edge_index", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(first[name], second[name])


def test_changed_raw_files_are_compared_again(ring: Path, raw: str) -> None:
    load("ring", root=ring)
    (ring / raw / "out1_graph_edges.txt").write_text("other")
    with pytest.raises(ValueError, match=r"out1_graph_edges.txt \(5 bytes\): sha256 d9298a10"):
        load("ring", root=ring)


def test_changed_raw_files_are_read_anew(ring: Path, raw: str, write_card: WriteCard) -> None:
    write_card(files={f"{raw}/out1_graph_edges.txt": None})
    load("ring", root=ring)
    path = ring / raw / "out1_graph_edges.txt"
    path.write_text(path.read_text() + "0\t2\n")
    with pytest.raises(ValueError, match="edges: expected 30, got 31"):
        load("ring", root=ring)


def test_graph_is_as_pyg_reads_it(ring: Path) -> None:
    ours = load("ring", root=ring)
    theirs = webkb.WebKB(str(ring / "WebKB"), "texas")[0]
    for name in ("x", "y", "edge_index", "train_mask"):
        assert torch.equal(theirs[name], ours[name])


def test_features_in_the_form_that_is_asked_for(ring: Path) -> None:
    for _ in range(2):
        dense, sparse = (load("ring", root=ring, sparse=sparse).x for sparse in (False, True))
        assert sparse.layout == torch.sparse_csr
        assert torch.equal(sparse.to_dense(), dense)


def test_nothing_is_printed(ring: Path, capfd: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # PyG is silent in tests only
    load("ring", root=ring)
    assert capfd.readouterr() == ("", "")


def test_random_split_is_drawn_by_seed(ring: Path) -> None:
    one, same, other = (load("ring", root=ring, split="random", seed=s) for s in (1, 1, 2))
    assert [int(one[f"{p}_mask"].sum()) for p in ("train", "val", "test")] == [6, 9, 15]
    assert torch.equal(one.train_mask, same.train_mask)
    assert not torch.equal(one.train_mask, other.train_mask)


def test_any_set_is_split_by_a_rule(ring: Path) -> None:
    data = load("ring", root=ring, split="20/30/50", seed=3)
    assert [int(data[f"{p}_mask"].sum()) for p in ("train", "val", "test")] == [6, 9, 15]


def test_nodes_of_a_split_from_a_file_of_their_own(
    ring: Path, raw: str, write_card: WriteCard
) -> None:
    nodes = np.arange(30)
    (ring / "parts").mkdir()
    np.savez(ring / "parts" / "a.npz", train=nodes[:20], valid=nodes[20:25], test=nodes[25:])
    files = {f"{raw}/{path.name}": None for path in (ring / raw).iterdir()}
    good = hashlib.sha256((ring / "parts" / "a.npz").read_bytes()).hexdigest()
    splits = {"public": {"sizes": [20, 5, 5], "ids": "parts/a.npz"}}
    write_card(files={**files, "parts/a.npz": good}, splits=splits)
    data = load("ring", root=ring, offline=True)
    assert data.val_mask.nonzero().view(-1).tolist() == list(range(20, 25))
    check_files(card("ring"), root=ring)
    write_card(files={**files, "parts/a.npz": "0" * 64}, splits=splits)
    for use in (lambda: load("ring", root=ring), lambda: check_files(card("ring"), root=ring)):
        with pytest.raises(ValueError, match=r"parts/a.npz .* expected 000"):
            use()
    (ring / "parts" / "a.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"put this file there: parts/a.npz"):
        load("ring", root=ring)


@pytest.mark.parametrize("seed", ["1", 1.5, True])
def test_seed_must_be_an_integer(ring: Path, seed: Any) -> None:
    with pytest.raises(TypeError, match="'seed' must be an integer"):
        load("ring", root=ring, seed=seed)


def test_transform_comes_after_the_checks(ring: Path) -> None:
    assert load("ring", root=ring, transform=ToUndirected()).num_edges == 60
    assert load("ring", root=ring, transform=SparseFeatures(0.5)).x.layout == torch.sparse_csr
    assert load("ring", root=ring).x.layout == torch.strided


def test_unknown_set_and_split(ring: Path) -> None:
    with pytest.raises(ValueError, match="unknown data set 'rong'; did you mean 'ring'"):
        load("rong", root=ring)
    with pytest.raises(ValueError, match="unknown split of ring 'publik'; did you mean 'public'"):
        load("ring", root=ring, split="publik")


def test_set_that_is_not_what_its_card_says(ring: Path, write_card: WriteCard) -> None:
    write_card(statistics={"nodes": 31, "edges": 30, "features": 4, "classes": 2})
    with pytest.raises(ValueError, match="data set 'ring' is not what its card says") as caught:
        load("ring", root=ring)
    assert "nodes: expected 31, got 30\n  classes: expected 2, got 3" in str(caught.value)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_missing_files_offline(
    ring: Path, raw: str, how: str, monkeypatch: pytest.MonkeyPatch, tree: Tree
) -> None:
    (ring / raw / "out1_graph_edges.txt").unlink()
    if how == "environment":
        monkeypatch.setenv("GRAPHATTN_OFFLINE", "1")
    before = tree(ring)
    with pytest.raises(FileNotFoundError, match="put these files there") as caught:
        load("ring", root=ring, offline=how == "argument")
    assert f"there: {raw}/out1_graph_edges.txt (from https://example.org/ring)" in str(caught.value)
    assert str(ring) in str(caught.value)
    assert tree(ring) == before


def test_files_that_pyg_wants_and_the_card_has_not(ring: Path, raw: str, write_card) -> None:
    write_card(files={f"{raw}/out1_graph_edges.txt": None})
    (ring / raw / "out1_node_feature_label.txt").unlink()
    with pytest.raises(FileNotFoundError, match="WebKB does not find its files in"):
        load("ring", root=ring)


def test_wrong_hash_is_found_before_reading(ring: Path, raw: str, tree: Tree, monkeypatch) -> None:
    monkeypatch.setattr(webkb.WebKB, "process", lambda self: pytest.fail("read a foreign file"))
    (ring / raw / "out1_graph_edges.txt").write_text("header\n0\t1\n")
    (ring / raw / "texas_split_0.6_0.2_3.npz").write_bytes(b"")
    before = tree(ring)
    with pytest.raises(ValueError, match="truncated or not the published ones") as caught:
        load("ring", root=ring)
    assert "out1_graph_edges.txt (11 bytes): sha256" in str(caught.value)
    assert "texas_split_0.6_0.2_3.npz (0 bytes): sha256" in str(caught.value)
    assert tree(ring) == before


@pytest.mark.parametrize(
    "name", ["out1_graph_edges.txt", "out1_node_feature_label.txt", "texas_split_0.6_0.2_3.npz"]
)
def test_truncated_file_without_a_known_hash(
    ring: Path, raw: str, name: str, tree: Tree, write_card: WriteCard
) -> None:
    path = ring / raw / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 + 1])
    write_card(files={f"{raw}/{path.name}": None for path in (ring / raw).iterdir()})
    before = tree(ring)
    with pytest.raises(ValueError, match=r"cannot read the raw files in|is not what its card says"):
        load("ring", root=ring)
    assert tree(ring) == before


def test_truncated_kept_file(ring: Path) -> None:
    load("ring", root=ring)
    (path,) = (ring / "WebKB" / "texas" / "graphattn").iterdir()
    for size in (0, path.stat().st_size // 2):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ValueError, match=rf"cannot read '{path}'; remove it"):
            load("ring", root=ring)


@pytest.mark.parametrize("step", [1, 2])
def test_full_disk_leaves_nothing_half_written(
    ring: Path, step: int, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(tmp_path)
    written = []

    def fill_up(data: Any, path: str) -> None:
        written.append(path)
        with open(path, "wb") as file:
            file.write(b"half")
            if len(written) == step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(fs, "torch_save", fill_up)
    with pytest.raises(OSError, match="No space left") as caught:
        load("ring", root=ring)
    assert caught.value.errno == errno.ENOSPC
    assert len(written) == step
    assert tree(tmp_path) == before


def test_read_only_root_is_not_written_to(read_only: Path, tree: Tree) -> None:
    before = tree(read_only)
    first = load("ring", root=read_only)
    assert tree(read_only) == before
    (made,) = (cache_folder() / "processed").iterdir()
    assert made.name.startswith("ring-")
    assert torch.equal(load("ring", root=read_only).edge_index, first.edge_index)
    assert len(list((cache_folder() / "processed").iterdir())) == 1


def test_refused_write_uses_the_cache(ring: Path, tree: Tree, monkeypatch) -> None:
    """As a read-only file system does it, whatever the permissions say."""
    monkeypatch.setattr(_files, "is_writable", lambda path: not path.is_relative_to(ring))
    before = tree(ring)
    assert load("ring", root=ring).num_nodes == 30
    assert tree(ring) == before


def test_download_on_first_use(
    server: list[str], ring: Path, raw: str, tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    data = load("ring", root=ring)
    assert len(server) == 12
    assert data.num_nodes == 30
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("downloading data set 'ring' from https://example.org")
    assert caplog.messages[0].endswith(f"(size unknown) to {ring / raw}")
    assert len(tree(ring / raw)) == 12
    load("ring", root=ring)
    assert len(server) == 12
    assert not list(ring.parent.rglob(".graphattn-*"))


def test_line_about_a_download_is_seen(
    server: list[str], ring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Print(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sys.stderr.write(record.getMessage())

    handler = Print()
    logging.getLogger("graphattn").addHandler(handler)
    load("ring", root=ring)
    logging.getLogger("graphattn").removeHandler(handler)
    assert "downloading data set 'ring'" in capsys.readouterr().err


def test_download_into_the_cache_when_the_root_is_read_only(
    server: list[str], tmp_path: Path, raw: str, tree: Tree
) -> None:
    root = tmp_path / "frozen"
    root.mkdir(mode=0o555)
    load("ring", root=root)
    load("ring", root=root, offline=True)
    assert len(server) == 12
    assert not tree(root)
    assert (cache_folder() / "data" / raw / "out1_graph_edges.txt").is_file()


@pytest.mark.parametrize("code", [None, errno.ENOSPC])
def test_failed_download_leaves_nothing(
    server: list[str], tmp_path: Path, ring: Path, tree: Tree, monkeypatch, code: int | None
) -> None:
    fetch = webkb.download_url
    before = tree(tmp_path)

    def fail(url: str, folder: str, **kwargs: Any) -> str:
        if len(server) == 5:
            (Path(folder) / "half").write_text("half")
            raise OSError("lost") if code is None else OSError(code, "full")
        return fetch(url, folder)

    monkeypatch.setattr(webkb, "download_url", fail)
    with pytest.raises(OSError, match=r"downloading data set 'ring' from .* failed") as caught:
        load("ring", root=ring)
    assert caught.value.errno == code
    assert tree(tmp_path) == before


def test_download_with_a_wrong_hash_leaves_nothing(
    server: list[str], tmp_path: Path, ring: Path, tree: Tree
) -> None:
    (tmp_path / "server" / "out1_graph_edges.txt").write_text("header\n")
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=r"out1_graph_edges.txt .* expected"):
        load("ring", root=ring)
    assert tree(tmp_path) == before


BIG = {"blogcatalog", "cs", "cornell5", "dblp"}
REAL = [
    pytest.param(c.name, split, marks=[pytest.mark.slow] if c.name in BIG else [])
    for c in cards()
    if c.loader.kind in ("pyg", "npz")
    for split in c.splits
]


@pytest.mark.parametrize(("name", "split"), REAL)
def test_real_data(real_root: Path, repository_cards: None, name: str, split: str) -> None:
    try:
        data = load(name, root=real_root, split=split, offline=True)
    except FileNotFoundError:
        pytest.skip(f"{name} is not in GRAPHATTN_DATA")
    check_files(card(name), root=real_root, split=split)
    assert data.num_classes == card(name).statistics.classes
    shutil.rmtree(cache_folder(), ignore_errors=True)  # up to half a GB
