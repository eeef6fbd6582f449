from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import WebKB

from graphattn.data import _pyg, load
from graphattn.data._pyg import located

WriteCard = Callable[..., None]


def test_what_others_left_is_not_read(ring: Path, raw: str, tmp_path: Path) -> None:
    WebKB(str(ring / "WebKB"), "texas")
    calls: list[str] = []
    found: list[Data] = []
    cls = located(
        WebKB,
        raw=ring / raw,
        processed=tmp_path / "new",
        fetching=None,
        verify=lambda: calls.append("verified"),
        found=found,
    )
    assert cls(str(ring / "WebKB"), "Texas").processed_dir == str(tmp_path / "new")
    assert calls == ["verified"]
    assert found[0].num_nodes == 30
    assert not (tmp_path / "new" / "data.pt").exists()


@pytest.fixture
def npz(tmp_path: Path, ring: Path, write_card: WriteCard) -> Path:
    """A path of ten nodes in the format of the heterophilous-graphs collection."""
    nodes = np.arange(10)
    path = ring / "Filtered" / "path.npz"
    path.parent.mkdir()
    masks = {
        f"{part}_masks": np.stack([(nodes + split) % 3 == i for split in range(4)]).astype(np.uint8)
        for i, part in enumerate(("train", "val", "test"))
    }
    np.savez(
        path,
        node_features=np.eye(10),
        node_labels=nodes % 2,
        edges=np.stack([nodes[:-1], nodes[1:]], axis=1),
        **masks,
    )
    write_card(
        "path",
        loader={"kind": "npz", "name": "path.npz", "raw": "Filtered"},
        statistics={"nodes": 10, "edges": 18, "features": 10, "classes": 2, "undirected": True},
        splits={"public": {"sizes": [4, 3, 3], "count": 4}},
        files={"Filtered/path.npz": None},
    )
    return path


def test_npz(npz: Path, ring: Path) -> None:
    data = load("path", root=ring, offline=True)
    assert data.train_mask.shape == (10, 4)
    assert data.train_mask[:, 1].nonzero().view(-1).tolist() == [2, 5, 8]
    assert (data.x.dtype, data.y.dtype) == (torch.float32, torch.int64)
    assert data.train_mask.dtype == data.val_mask.dtype == data.test_mask.dtype == torch.bool


def test_npz_truncated(npz: Path, ring: Path) -> None:
    npz.write_bytes(npz.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cannot read the raw file in .*Filtered"):
        load("path", root=ring)


def test_npz_with_a_pickle_is_not_executed(npz: Path, ring: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("executed",))

    arrays = dict(np.load(npz))
    np.savez(npz, **{**arrays, "node_labels": np.array([Evil()] * 10, dtype=object)})
    with pytest.raises(ValueError, match="Object arrays cannot be loaded when allow_pickle=False"):
        load("path", root=ring)


@pytest.mark.parametrize("failing", [False, True])
def test_npz_download(
    npz: Path, ring: Path, tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    shutil.move(npz, tmp_path / "served.npz")
    before = tree(tmp_path)

    def download(url: str, folder: str, **kwargs: Any) -> None:
        assert url == "https://example.org/ring/path.npz"
        shutil.copy(tmp_path / "served.npz", Path(folder) / "path.npz")
        if failing:
            raise OSError("lost")

    monkeypatch.setattr(_pyg, "download_url", download)
    if failing:
        with pytest.raises(OSError, match=r"downloading data set 'path' .* failed: lost"):
            load("path", root=ring)
        assert tree(tmp_path) == before
    else:
        assert load("path", root=ring).num_nodes == 10
        assert tree(tmp_path) == before | {"root/Filtered/path.npz"}
