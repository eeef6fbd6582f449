from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from graphattn.bench import Contender, measure
from graphattn.bench.measuring import errors_of


def sleeper(turns: list[str], name: str, seconds: float, **fields: Any) -> Contender:
    def forward() -> str:
        turns.append(name)
        time.sleep(seconds)
        return name

    return Contender(name, fields.pop("kind", name), forward, **fields)


def test_contenders_take_turns() -> None:
    turns: list[str] = []
    threads = torch.get_num_threads()
    slow, fast = sleeper(turns, "slow", 0.02), sleeper(turns, "fast", 0.002, edges=4000)
    rows, missing = measure([slow, fast], repeats=3, threads=threads + 1, progress=False)
    assert turns == ["slow", "fast"] + ["slow", "slow", "fast", "fast"] * 3
    assert 4 < rows[0].ms / rows[1].ms < 12
    assert [row.repeats for row in rows] == [3, 3]
    assert 1 < rows[1].million_edges_per_s <= 2  # 4,000 edges in 2 ms and a bit
    assert missing == []
    assert torch.get_num_threads() == threads


def test_halves_are_timed_apart_and_release_is_not_timed() -> None:
    calls: list[str] = []

    def backward(out: str) -> None:
        calls.append(f"backward of {out}")
        time.sleep(0.01)

    def release() -> None:
        calls.append("release")
        time.sleep(0.05)

    rows, _ = measure(
        [sleeper(calls, "one", 0.002, backward=backward, release=release)],
        repeats=2,
        progress=False,
    )
    assert calls == ["one", "backward of one", "release"] * 5
    assert 2 <= rows[0].forward_ms < 200
    assert 12 <= rows[0].ms < 40


def test_only_the_fastest_form_goes_on() -> None:
    turns: list[str] = []
    contenders = [
        sleeper(turns, "ours", 0.001),
        sleeper(turns, "list", 0.01, kind="peer"),
        sleeper(turns, "csr", 0.001, kind="peer"),
    ]
    rows, _ = measure(contenders, repeats=3, progress=False)
    assert [row.repeats for row in rows] == [3, 1, 3]
    first = ["ours", "list", "csr", "ours", "ours", "list", "list", "csr", "csr"]
    assert turns == first + ["ours", "ours", "csr", "csr"] * 2


def test_a_peer_that_fails_is_named_with_its_reason() -> None:
    def broken() -> None:
        raise RuntimeError("out of memory\nand so on")

    ours = Contender("us", "ours", lambda: None)
    rows, missing = measure([ours, Contender("peer", "pyg", broken)], repeats=1, progress=False)
    assert [row.contender for row in rows] == ["us"]
    assert missing == [("peer", "RuntimeError: out of memory")]
    with pytest.raises(RuntimeError, match="out of memory"):
        measure([Contender("us", "ours dense", broken)], repeats=1, progress=False)


def test_results_are_compared_with_the_reference() -> None:
    right = {"output": torch.tensor([[1.0], [4.0]], dtype=torch.float64)}

    def gives(value: float) -> Callable[[], dict[str, torch.Tensor]]:
        return lambda: {"output": torch.tensor([[value], [4.0]])}

    contenders = [
        Contender("right", "ours", lambda: None, results=gives(1.0)),
        Contender("wrong", "peer", lambda: None, results=gives(1.5)),
        Contender("floor", "floor", lambda: None),
    ]
    rows, _ = measure(contenders, repeats=1, reference=right, progress=False)
    assert [row.errors for row in rows] == [
        {"output error": 0, "rows off": 0},
        {"output error": 0.125, "rows off": 1},
        {},
    ]


def test_rows_off_tells_one_row_from_many() -> None:
    right = torch.ones(100, 3, dtype=torch.float64)
    kink, all_over = right.clone(), right + 1e-3
    kink[7, 1] += 1e-3
    for found, rows in ((kink, 1), (all_over, 100), (right + 1e-7, 0)):
        assert errors_of({"gradient": found.float()}, {"gradient": right})["rows off"] == rows


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the high-water mark")
def test_memory_is_that_of_one_step() -> None:
    contender = Contender("one", "ours", lambda: torch.ones(25_000_000), lambda out: out + 1)
    rows, _ = measure([contender], repeats=2, memory=True, progress=False)
    assert 190 < rows[0].peak_mb < 220
    assert 95 < rows[0].held_mb < 115
    rows, _ = measure([contender], repeats=2, progress=False)
    assert rows[0].peak_mb is None


def test_what_takes_long_runs_once() -> None:
    turns: list[str] = []
    counted = {"epochs": 7}
    contender = sleeper(
        turns, "ours", 0.01, backward=lambda _: time.sleep(0.01), once=True, counts=lambda: counted
    )
    for memory in (True, False):
        turns.clear()
        (row,), _ = measure([contender], repeats=3, memory=memory, progress=False)
        assert turns == ["ours"]
        assert row.repeats == 1
        assert 10 <= row.forward_ms < row.ms
        assert row.ms >= 20
        assert row.counts == counted
        assert (row.peak_mb is not None) == (memory and sys.platform == "linux")


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'repeats' must be at least 1, got 0"):
        measure([], repeats=0)
    with pytest.raises(ValueError, match="'threads' must be at least 1, got 0"):
        measure([], threads=0)
