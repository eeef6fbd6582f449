from __future__ import annotations

import time

import pytest
import torch

from graphattn.bench import Contender, measure


def test_contenders_take_turns_and_are_compared() -> None:
    turns: list[str] = []

    def contender(name: str, seconds: float, value: float) -> Contender:
        def step() -> None:
            turns.append(name)
            time.sleep(seconds)

        return Contender(name, step, lambda: torch.tensor([value, 4.0]))

    threads = torch.get_num_threads()
    table = measure(
        [contender("slow", 0.02, 1.0), contender("fast", 0.002, 1.5)], repeats=3, progress=False
    )
    assert turns == ["slow", "fast"] * 4
    assert table["speed-up"][0] == 1
    assert 4 < table["speed-up"][1] < 12
    assert table["error"].tolist() == [0.0, 0.125]
    assert torch.get_num_threads() == threads


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'repeats' must be at least 1, got 0"):
        measure([], repeats=0)
    with pytest.raises(ValueError, match="'threads' must be at least 1, got 0"):
        measure([], threads=0)
