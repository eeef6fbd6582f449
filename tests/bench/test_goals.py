from __future__ import annotations

from graphattn.bench import Row
from graphattn.bench.goals import faster_than, less_memory_than, of_the_floor, peak_at_most

ROWS = [
    Row("ours", "ours", 5, forward_ms=6, ms=10, peak_mb=50, held_mb=20),
    Row("op", "ours op", 5, forward_ms=4, ms=8),
    Row("PyG", "pyg", 5, forward_ms=20, ms=60, peak_mb=600, held_mb=300),
    Row("floor", "floor", 5, forward_ms=3, ms=5),
]


def test_figures() -> None:
    goals = (
        faster_than("pyg", 5, 8),
        less_memory_than("pyg", 8, 12),
        less_memory_than("pyg", 8, 12, of="held"),
        *of_the_floor((0.6, 0.5), (0.85, 0.75)),
        peak_at_most(40, 20),
    )
    figures = [goal.read(ROWS) for goal in goals]
    assert [figure and (figure.measured, figure.met) for figure in figures] == [
        (6, "must"),
        (12, "aim"),
        (15, "aim"),
        (0.75, "must"),
        (0.625, "must"),
        (0.5, ""),
        (0.5, ""),
        (50, "no"),
    ]


def test_what_is_not_there_gives_no_figure() -> None:
    ours = ROWS[:1]
    goals = (
        faster_than("dgl", 4, 5),
        less_memory_than("pyg", 8, 12),
        *of_the_floor((1, 1), (1, 1)),
    )
    assert [goal.read(ours) for goal in goals] == [None] * 6
    no_memory = [Row("ours", "ours", 5, 4, 10), ROWS[2]]
    assert less_memory_than("pyg", 8, 12).read(no_memory) is None
    assert peak_at_most(1, 1).read(no_memory) is None
