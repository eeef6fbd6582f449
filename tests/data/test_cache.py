from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch_geometric.data import Data

from graphattn.data import _cache, card
from graphattn.data._cache import cached_file, keep, recall
from graphattn.data._files import cache_folder
from graphattn.data.transforms import to_csr

WriteCard = Callable[..., None]


def graph() -> Data:
    both = torch.arange(12).view(2, 6)
    return Data(
        x=to_csr(torch.eye(4)),
        edge_index=both[:, :4] % 4,
        y=both[0, :4],
        train_mask=torch.tensor([True, False, True, False]),
        num_nodes=4,
        name="left out",
    )


def test_a_graph_comes_back(tmp_path: Path) -> None:
    keep(graph(), tmp_path / "not" / "there" / "g.safetensors")
    found = recall(tmp_path / "not" / "there" / "g.safetensors")
    assert found is not None
    assert found.x.layout == torch.sparse_csr
    assert torch.equal(found.x.to_dense(), torch.eye(4))
    for name in ("edge_index", "y", "train_mask"):
        assert torch.equal(found[name], graph()[name])
        assert found[name].dtype == graph()[name].dtype
    assert found.num_nodes == 4
    assert "name" not in found
    assert [path.name for path in (tmp_path / "not" / "there").iterdir()] == ["g.safetensors"]


def test_nothing_there(tmp_path: Path) -> None:
    assert recall(tmp_path / "g.safetensors") is None


def test_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "g.safetensors"
    keep(graph(), file)
    whole = file.read_bytes()
    for content in (b"", whole[:40], whole[:-3], whole.replace(b"col_indices", b"col_indixes")):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"cannot read '{file}'; remove it"):
            recall(file)


def test_matrix_that_is_none(tmp_path: Path) -> None:
    """Indices out of range would be read from memory that is somebody else's."""
    file = tmp_path / "g.safetensors"
    good = torch.tensor([0, 1, 2, 3]).numpy().tobytes()
    bad = torch.tensor([0, 1, 2, 10**9]).numpy().tobytes()
    keep(Data(x=to_csr(torch.eye(4))), file)
    assert good in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(good, bad))
    with pytest.raises(ValueError, match="cannot read"):
        recall(file)


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tensors: Any, file: Path, metadata: Any) -> None:
        file.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr(_cache, "save_file", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        keep(graph(), tmp_path / "new" / "g.safetensors")
    assert caught.value.errno == 28
    assert not list(tmp_path.iterdir())


def test_changed_files_are_kept_elsewhere(ring: Path, raw: str, write_card: WriteCard) -> None:
    home = ring / "WebKB" / "texas"
    before = cached_file(card("ring"), None, ring)
    assert before.parent == home / "graphattn"
    file = ring / raw / "out1_graph_edges.txt"
    time = file.stat().st_mtime_ns
    for content, moved in ((file.read_text() + " ", 0), (file.read_text(), 10**9)):
        file.write_text(content)
        os.utime(file, ns=(time + moved, time + moved))
        assert cached_file(card("ring"), None, ring) != before


def test_two_read_only_roots_share_no_file(
    tmp_path: Path, ring: Path, raw: str, write_card: WriteCard
) -> None:
    places = []
    for name in ("one", "two"):
        for file in card("ring").files:
            place = tmp_path / name / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("same")
            os.utime(place, (1, 1))
        (tmp_path / name / raw).parent.chmod(0o555)
        places.append(cached_file(card("ring"), None, tmp_path / name))
        (tmp_path / name / raw).parent.chmod(0o755)
    assert places[0] != places[1]
    assert {place.parent for place in places} == {cache_folder() / "processed"}
