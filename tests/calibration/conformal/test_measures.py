from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from torch_geometric.utils import homophily

from graphattn.calibration.conformal import (
    coverage_by_group,
    coverage_by_size,
    coverage_interval,
    equal_count_bins,
    measure_sets,
    node_homophily,
)

SETS = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]]).bool()
Y = torch.tensor([0, 0, 0, 1, 1])


def test_by_hand() -> None:
    measures = measure_sets(SETS, Y, alpha=0.25)
    assert measures.coverage == 2 / 5
    assert measures.size == 6 / 5
    assert measures.singleton_hit_ratio == 1 / 5
    assert measures.singleton_ratio == 2 / 5
    assert measures.empty_ratio == 1 / 5
    assert measures.macro_coverage == pytest.approx((2 / 3 + 0) / 2)
    assert measures.covgap == pytest.approx(100 * (0.75 - 2 / 3 + 0.75) / 2)
    assert measures.violated_classes == 2
    assert measures.sscv == pytest.approx(0.75 - 1 / 3)


def test_a_class_that_is_just_covered_is_not_violated() -> None:
    sets = torch.ones(50, 2, dtype=torch.bool)
    for missed in range(1, 50):
        sets[missed - 1, 0] = False
        y, alpha = torch.zeros(50, dtype=torch.int64), missed / 50
        assert measure_sets(sets, y, alpha=alpha).violated_classes == 0


def test_sets_of_more_classes_than_the_ranges_know() -> None:
    sets = torch.ones(2, 2000, dtype=torch.bool)
    assert measure_sets(sets, torch.tensor([0, 1]), alpha=0.1).sscv == pytest.approx(0.1)


def test_groups() -> None:
    table = coverage_by_group(SETS, Y, torch.tensor([5, 5, 2, 2, 2]))
    assert table["group"].tolist() == [2, 5]
    assert table["nodes"].tolist() == [3, 2]
    assert table["coverage"].tolist() == [0, 1]
    assert table["size"].tolist() == [1, 1.5]
    table = coverage_by_size(SETS, Y, ranges=[(0, 0), (1, 2), (3, 3)])
    assert table["nodes"].tolist() == [1, 4, 0]
    assert table["coverage"].tolist()[:2] == [0, 0.5]
    assert math.isnan(table["coverage"][2])


def probabilities(n: int, m: int, rank: int) -> list[Fraction]:
    """The law of the number of covered nodes, counted: where the test nodes fall among scores."""
    ways = math.comb(n + m, m)
    return [
        Fraction(math.comb(x + rank - 1, x) * math.comb(m - x + n - rank, m - x), ways)
        for x in range(m + 1)
    ]


@pytest.mark.parametrize(("n", "m", "alpha", "rank"), [(9, 20, 0.1, 9), (30, 15, 0.3, 22)])
def test_interval_against_the_law(n: int, m: int, alpha: float, rank: int) -> None:
    law = probabilities(n, m, rank)
    assert sum(law) == 1
    low, high = (round(end * m) for end in coverage_interval(n, m, alpha, level=0.8))
    assert sum(law[low : high + 1]) >= Fraction(8, 10)
    assert sum(law[:low]) < Fraction(1, 10)
    assert sum(law[high + 1 :]) <= Fraction(1, 10)


def test_interval_of_too_few_nodes() -> None:
    assert coverage_interval(8, 100, 0.1) == (1, 1)


def test_bins() -> None:
    values = torch.tensor([3, 1, 3, 2, 0, 3, 9])
    assert equal_count_bins(values, 3).tolist() == [1, 0, 1, 0, 0, 2, 2]
    assert equal_count_bins(values.float(), 7).sort().values.tolist() == list(range(7))
    with pytest.raises(ValueError, match=r"'values' must have .* got \[7\] with 1 nan"):
        equal_count_bins(torch.tensor([1, 2, 3, 4, 5, 6, math.nan]), 2)
    with pytest.raises(ValueError, match="at least 8 entries"):
        equal_count_bins(values, 8)


def test_homophily_against_pyg() -> None:
    torch.manual_seed(0)
    y, edges = torch.randint(0, 3, (30,)), torch.randint(0, 30, (2, 200))
    found = node_homophily(edges, y)
    assert float(found.mean()) == pytest.approx(homophily(edges, y, method="node"))
    assert node_homophily(edges[:, :0], y).isnan().all()


@pytest.mark.parametrize(
    ("sets", "y", "error", "match"),
    [
        (SETS.double(), Y, TypeError, r"'sets' must be a tensor of bool, got torch.float64"),
        (SETS[:0], Y[:0], ValueError, "'sets' must have shape"),
        (SETS, Y + 2, ValueError, r"'y' must lie in \[0, 3\)"),
        (SETS, Y[:3], ValueError, r"'y' must have shape \[5\], got \[3\]"),
    ],
)
def test_bad_input(sets: Tensor, y: Tensor, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        measure_sets(sets, y, alpha=0.1)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match=r"'alpha'.* got 0"):
        measure_sets(SETS, Y, alpha=0)
    with pytest.raises(ValueError, match="'level' must lie between 0 and 1, got 95"):
        coverage_interval(10, 10, 0.1, level=95)
    with pytest.raises(ValueError, match="'m' must be at least 1, got 0"):
        coverage_interval(10, 0, 0.1)
    with pytest.raises(ValueError, match=r"'group' must hold integers of shape \[5\], got"):
        coverage_by_group(SETS, Y, Y.float())
