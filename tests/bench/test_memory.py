from __future__ import annotations

import sys

import pytest
import torch

from graphattn.bench.memory import memory_of_step

MB = 10**6


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the high-water mark")
def test_peak_and_held() -> None:
    def forward() -> torch.Tensor:
        kept = torch.ones(100 * MB // 4)
        torch.ones(300 * MB // 4)  # gone again before backward
        return kept

    usage = memory_of_step(forward, lambda kept: torch.ones(150 * MB // 4))
    assert usage is not None
    assert 390 < usage.peak < 430
    assert 95 < usage.held < 115


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the high-water mark")
def test_what_was_there_before_does_not_count() -> None:
    before = torch.ones(300 * MB // 4)
    usage = memory_of_step(lambda: None, None)
    assert usage is not None
    assert usage.peak < 15
    assert len(before) > 0


def test_none_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = tmp_path_factory.mktemp("proc") / "clear_refs"
    monkeypatch.setattr("graphattn.bench.memory._CLEAR", nowhere)
    assert memory_of_step(lambda: 1 / 0, None) is None
