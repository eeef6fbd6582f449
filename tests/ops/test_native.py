from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphattn.ops import _native, build_csr


def test_pointers_keep_the_order() -> None:
    tensors = [torch.zeros(2), torch.ones(3)]
    assert [p.value for p in _native.pointers(tensors)] == [t.data_ptr() for t in tensors]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installation whose folder for the native library is empty."""
    monkeypatch.setattr(_native, "_FOLDER", tmp_path)
    _native.library.cache_clear()
    _native.why_missing.cache_clear()
    yield tmp_path
    _native.library.cache_clear()
    _native.why_missing.cache_clear()


def test_without_the_library_the_reference_works(fresh: Path) -> None:
    assert "no working C++ compiler" in _native.why_missing()
    assert build_csr(torch.tensor([[0], [1]]), num_src=2, num_dst=2).col.tolist() == [0]


def test_a_library_that_does_not_load_is_reported(fresh: Path) -> None:
    (fresh / "libgraphattn_native.so").write_bytes(b"not a library")
    assert "does not load" in _native.why_missing()
    with pytest.raises(RuntimeError, match="does not load"):
        _native.library()
