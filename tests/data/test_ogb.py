"""Small sets in OGB's own on-disk formats: CSV as its official archives, binary as its saver."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphattn.data import _files, _ogb, load

NODES = 20
Tree = Callable[[Path], set[str]]


def write_csv(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        np.savetxt(file, values, delimiter=",", fmt="%d" if values.dtype == np.int64 else "%.6f")


def write_common(home: Path, split: str) -> None:
    """A ring, stored once, and a split into ten, five and five nodes."""
    nodes = np.arange(NODES)
    write_csv(home / "raw" / "edge.csv.gz", np.stack([nodes, (nodes + 1) % NODES], axis=1))
    write_csv(home / "raw" / "num-node-list.csv.gz", np.array([NODES]))
    write_csv(home / "raw" / "num-edge-list.csv.gz", np.array([NODES]))
    for part, chosen in (("train", nodes[:10]), ("valid", nodes[10:15]), ("test", nodes[15:])):
        write_csv(home / "split" / split / f"{part}.csv.gz", chosen)
    (home / "RELEASE_v1.txt").write_text("# Release note")


def card_of(name: str, home: Path, **changes: Any) -> dict[str, Any]:
    root = home.parent
    return {
        "name": name,
        "loader": {"kind": "ogb", "name": name, "raw": home.name},
        "statistics": {"nodes": NODES, "edges": NODES, "features": 4, "classes": 3},
        "splits": {"public": {"sizes": [10, 5, 5]}},
        "files": {str(p.relative_to(root)): None for p in home.rglob("*") if p.is_file()},
        **changes,
    }


@pytest.fixture
def arxiv(ring: Path, write_card: Callable[..., None]) -> Path:
    home = ring / "ogbn_arxiv"
    write_common(home, "time")
    write_csv(home / "raw" / "node-feat.csv.gz", np.eye(NODES)[:, :4])
    write_csv(home / "raw" / "node-label.csv.gz", np.arange(NODES)[:, None] % 3)
    write_csv(home / "raw" / "node_year.csv.gz", np.full((NODES, 1), 2017))
    write_card(**card_of("ogbn-arxiv", home))
    return home


@pytest.fixture
def proteins(ring: Path, write_card: Callable[..., None]) -> Path:
    home = ring / "ogbn_proteins"
    write_common(home, "species")
    write_csv(home / "raw" / "edge-feat.csv.gz", np.arange(NODES)[:, None] * np.ones((1, 8)))
    write_csv(home / "raw" / "node-label.csv.gz", np.arange(NODES * 5).reshape(NODES, 5) % 2)
    statistics = {"nodes": NODES, "edges": 2 * NODES, "features": 8, "classes": 5}
    write_card(**card_of("ogbn-proteins", home, statistics=statistics, task="multilabel"))
    write_csv(home / "raw" / "species.csv.gz", np.full((NODES, 1), 9606))
    return home


def test_csv_format(arxiv: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = load("ogbn-arxiv", root=arxiv.parent, offline=True)
    assert (data.num_nodes, data.num_edges, data.num_features, data.num_classes) == (20, 20, 4, 3)
    assert (data.x.dtype, data.y.dtype, data.y.shape) == (torch.float32, torch.int64, (20,))
    assert data.y.tolist() == [i % 3 for i in range(NODES)]
    assert data.train_mask.nonzero().view(-1).tolist() == list(range(10))
    assert data.val_mask.nonzero().view(-1).tolist() == list(range(10, 15))
    assert data.test_mask.nonzero().view(-1).tolist() == list(range(15, 20))
    assert capfd.readouterr() == ("", "")


def test_second_load_reads_the_processed_file(arxiv: Path, monkeypatch) -> None:
    first = load("ogbn-arxiv", root=arxiv.parent)
    monkeypatch.setattr(_ogb._dataset_class(), "process", lambda self: pytest.fail("again"))
    assert torch.equal(load("OGBN-Arxiv", root=arxiv.parent).x, first.x)
    (made,) = (arxiv / "graphattn").iterdir()
    assert made.name.startswith("ogbn-arxiv-")
    assert not (arxiv / "processed").exists()


def test_what_others_left_is_not_read(arxiv: Path) -> None:
    (arxiv / "processed").mkdir()
    (arxiv / "processed" / "geometric_data_processed.pt").write_bytes(b"poison")
    assert load("ogbn-arxiv", root=arxiv.parent).num_nodes == NODES


def test_pickled_split_is_not_executed(arxiv: Path, tmp_path: Path) -> None:
    """ogb prefers this file to the tables beside it."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    torch.save(Evil(), arxiv / "split" / "time" / "split_dict.pt")
    with pytest.raises(ValueError, match=f"cannot read the split in '{arxiv}"):
        load("ogbn-arxiv", root=arxiv.parent)
    assert not (tmp_path / "executed").exists()


def test_multilabel_without_node_features(proteins: Path) -> None:
    data = load("ogbn-proteins", root=proteins.parent)
    assert (data.y.shape, data.y.dtype, data.num_classes) == ((NODES, 5), torch.float32, 5)
    assert data.x.shape == (NODES, 8)
    # Node i has edges i - 1 (stored first) and i (reversed), with those numbers as features.
    expected = torch.tensor([(i + (i - 1) % NODES) / 2 for i in range(NODES)])
    assert torch.allclose(data.x, expected[:, None].expand(-1, 8))
    assert data.edge_attr.shape == (2 * NODES, 8)


@pytest.mark.parametrize("name", ["arxiv", "proteins"])
def test_read_only_root(name: str, request: pytest.FixtureRequest, tree: Tree) -> None:
    home = request.getfixturevalue(name)
    folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    before = tree(home)
    for _ in range(2):
        assert load(f"ogbn-{name}", root=home.parent).num_nodes == NODES
    assert tree(home) == before
    (made,) = (_files.cache_folder() / "processed").iterdir()
    assert made.name.startswith(f"ogbn-{name}-")
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.parametrize("missing", ["RELEASE_v1.txt", "raw/edge.csv.gz", "split/time/test.csv.gz"])
def test_missing_file_is_named_and_nobody_is_asked(arxiv: Path, missing: str, tree: Tree) -> None:
    (arxiv / missing).unlink()
    before = tree(arxiv)
    with pytest.raises(FileNotFoundError, match=f"put these files there: ogbn_arxiv/{missing}"):
        load("ogbn-arxiv", root=arxiv.parent, offline=True)
    with pytest.raises(FileExistsError, match="is not a complete copy of 'ogbn-arxiv'"):
        load("ogbn-arxiv", root=arxiv.parent)
    assert tree(arxiv) == before


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("raw/edge.csv.gz", "raw files"),
        ("raw/node-label.csv.gz", "raw files"),
        ("split/time/train.csv.gz", "split"),
    ],
)
def test_truncated_file(arxiv: Path, name: str, what: str, tree: Tree) -> None:
    (arxiv / name).write_bytes((arxiv / name).read_bytes()[:30])
    before = tree(arxiv)
    with pytest.raises(ValueError, match=f"cannot read the {what} in '{arxiv}"):
        load("ogbn-arxiv", root=arxiv.parent)
    assert tree(arxiv) == before


def test_truncated_kept_file(arxiv: Path) -> None:
    load("ogbn-arxiv", root=arxiv.parent)
    (path,) = (arxiv / "graphattn").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"cannot read '{path}'; remove it"):
        load("ogbn-arxiv", root=arxiv.parent)


def test_full_disk_leaves_nothing(arxiv: Path, tree: Tree, monkeypatch, tmp_path: Path) -> None:
    def fill_up(data: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left")

    before = tree(tmp_path)
    monkeypatch.setattr(torch, "save", fill_up)
    with pytest.raises(OSError, match="No space left") as caught:
        load("ogbn-arxiv", root=arxiv.parent)
    assert caught.value.errno == errno.ENOSPC
    assert tree(tmp_path) == before


@pytest.fixture
def archive(arxiv: Path, tmp_path: Path) -> Path:
    """The set as the archive that OGB's server has; gone from the root."""
    shutil.move(arxiv, tmp_path / "arxiv")
    path = shutil.make_archive(str(tmp_path / "served"), "zip", tmp_path, "arxiv")
    shutil.rmtree(tmp_path / "arxiv")
    return Path(path)


def serve(monkeypatch: pytest.MonkeyPatch, archive: Path, size: int = -1) -> None:
    _ogb._dataset_class()
    from ogb.utils import url as ogb_url

    def download(url: str, folder: str, log: bool = True) -> str:
        assert url == "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"
        path = Path(folder) / "arxiv.zip"
        path.write_bytes(archive.read_bytes()[:size])
        return str(path)

    monkeypatch.setattr(ogb_url, "download_url", download)


def test_download(archive: Path, ring: Path, monkeypatch, tree: Tree, caplog) -> None:
    serve(monkeypatch, archive, size=archive.stat().st_size)
    assert load("ogbn-arxiv", root=ring).num_nodes == NODES
    assert [m.startswith("downloading data set 'ogbn-arxiv' from") for m in caplog.messages] == [1]
    assert {p for p in tree(ring) if "ogbn" not in p and "WebKB" not in p} == set()
    assert load("ogbn-arxiv", root=ring, offline=True).num_nodes == NODES


def test_download_of_a_truncated_archive_leaves_nothing(
    archive: Path, ring: Path, monkeypatch, tree: Tree, tmp_path: Path
) -> None:
    serve(monkeypatch, archive, size=300)
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="cannot read the downloaded archive"):
        load("ogbn-arxiv", root=ring)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("cause", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_stopped_a_download_is_not_hidden(
    archive: Path, ring: Path, monkeypatch, tree: Tree, tmp_path: Path, cause: BaseException
) -> None:
    _ogb._dataset_class()
    from ogb.utils import url as ogb_url

    def download(url: str, folder: str, log: bool = True) -> None:
        (Path(folder) / "arxiv.zip").write_bytes(b"half")
        try:
            raise cause
        except BaseException:
            raise RuntimeError("Stopped downloading due to interruption.")  # noqa: B904, as ogb

    monkeypatch.setattr(ogb_url, "download_url", download)
    before = tree(tmp_path)
    with pytest.raises(type(cause)):
        load("ogbn-arxiv", root=ring)
    assert tree(tmp_path) == before


@pytest.fixture
def saver(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Write a set with ogb's ``DatasetSaver``."""

    def save(root: Path, labels: np.ndarray) -> tuple[Path, dict[str, Any]]:
        _ogb._dataset_class()
        from ogb.io import DatasetSaver

        nodes = np.arange(NODES)
        made = DatasetSaver("ogbn-tiny", is_hetero=False, version=1, root=str(tmp_path / "made"))
        made.save_graph_list(
            [
                {
                    "num_nodes": NODES,
                    "edge_index": np.stack([nodes, (nodes + 1) % NODES]),
                    "edge_feat": None,
                    "node_feat": np.eye(NODES, 4, dtype=np.float32),
                }
            ]
        )
        made.save_target_labels(labels)
        made.save_split({"train": nodes[:10], "valid": nodes[10:15], "test": nodes[15:]}, "time")
        (tmp_path / "mapping").mkdir()
        (tmp_path / "mapping" / "README.md").touch()
        made.copy_mapping_dir(str(tmp_path / "mapping"))
        made.save_task_info("multiclass classification", "acc", 3)
        meta = made.get_meta_dict()
        return Path(shutil.move(made.dataset_dir, root / "ogbn_tiny")), meta

    return save


@pytest.mark.parametrize("unknown", [False, True])
def test_binary_format_of_the_saver(
    saver, ring: Path, write_card: Callable[..., None], monkeypatch, unknown: bool
) -> None:
    labels = np.arange(NODES)[:, None] % 3
    if unknown:  # As ogbn-papers100M has it; and there no node of the split has none.
        labels = labels.astype(np.float32)
        labels[3] = np.nan
    home, meta = saver(ring, labels)
    monkeypatch.setattr(_ogb, "official_meta", lambda name: meta)
    write_card(**card_of("ogbn-tiny", home))
    if unknown:
        with pytest.raises(ValueError, match=r"train_mask .* expected 10 nodes, got 9"):
            load("ogbn-tiny", root=ring)
        return
    data = load("ogbn-tiny", root=ring)
    assert data.y.tolist() == [i % 3 for i in range(NODES)]
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [10, 5, 5]


def test_official_sets_are_known_to_ogb() -> None:
    for name in ("ogbn-arxiv", "ogbn-products", "ogbn-proteins", "ogbn-papers100M"):
        assert _ogb.official_meta(name)["download_name"]


def test_ogb_is_imported_without_its_look_for_news() -> None:
    code = """
import os, sys, threading, types
called = []
fake = sys.modules["outdated"] = types.ModuleType("outdated")
fake.check_outdated = lambda *args: called.append(args) or (False, "")
from graphattn.data import _ogb
_ogb._dataset_class()
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(5)
assert not called
assert sys.modules["outdated"] is fake
assert "OUTDATED_IGNORE" not in os.environ
"""
    subprocess.run([sys.executable, "-c", code], check=True)
