from __future__ import annotations

import pytest

from graphattn.bench import Goal, Row
from graphattn.bench.case import by_kind

ROWS = [Row("a", "pyg", 1, 1.0, 9.0), Row("b", "pyg", 1, 1.0, 6.0), Row("c", "ours", 1, 1.0, 2.0)]


def test_by_kind_takes_the_fastest() -> None:
    assert by_kind(ROWS) == {"pyg": ROWS[1], "ours": ROWS[2]}


@pytest.mark.parametrize(
    ("must", "aim", "met"),
    [
        (2, 4, "must"),
        (2, 3, "aim"),
        (4, 5, "no"),
        (2, None, "must"),
        (None, 2, "aim"),
        (None, 4, "no"),
        (None, None, ""),
    ],
)
def test_what_a_figure_reaches(must: float | None, aim: float | None, met: str) -> None:
    goal = Goal("faster", must, aim, lambda rows: rows["pyg"].ms / rows["ours"].ms)
    figure = goal.read(ROWS)
    assert figure is not None
    assert (figure.measured, figure.met) == (3.0, met)


def test_small_values_can_be_good() -> None:
    goal = Goal("peak", 8, 2, lambda rows: rows["pyg"].ms, at_most=True)
    figure = goal.read(ROWS)
    assert figure is not None
    assert figure.met == "must"


def test_no_figure_without_its_rows() -> None:
    assert Goal("faster", 1, 1, lambda rows: None).read(ROWS) is None
