from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from graphattn.calibration.selective import risk_coverage

CONFIDENCE = torch.tensor([0.9, 0.5, 0.5, 0.5, 0.2, 0.2])
CORRECT = torch.tensor([1, 0, 1, 1, 0, 1])


def test_ties_are_averaged_over_all_orders() -> None:
    risks = []
    for middle, last in itertools.product(
        itertools.permutations([1, 2, 3]), itertools.permutations([4, 5])
    ):
        order = torch.tensor([0, *middle, *last])
        risks.append((1 - CORRECT[order].double()).cumsum(0) / torch.arange(1, 7))
    curve = risk_coverage(CONFIDENCE, CORRECT)
    torch.testing.assert_close(curve.risk, torch.stack(risks).mean(dim=0))
    assert curve.aurc == pytest.approx(float(torch.stack(risks).mean()))


def test_numbering_does_not_matter() -> None:
    order = torch.tensor([5, 3, 0, 4, 2, 1])
    expected = risk_coverage(CONFIDENCE, CORRECT).risk
    assert torch.equal(risk_coverage(CONFIDENCE[order], CORRECT[order]).risk, expected)
    in_order = [
        risk_coverage(CONFIDENCE[nodes], CORRECT[nodes], ties="in order").risk
        for nodes in (torch.arange(6), order)
    ]
    assert not torch.equal(*in_order)


def test_the_best_order_has_the_least_area() -> None:
    correct = torch.tensor([1] * 90 + [0] * 10)
    curve = risk_coverage(torch.linspace(1, 0, 100), correct)
    assert curve.e_aurc == pytest.approx(0, abs=1e-15)
    worst = risk_coverage(torch.linspace(0, 1, 100), correct)
    assert worst.least_aurc == curve.least_aurc
    assert worst.e_aurc > 0.1
    # The usual approximation, for many nodes.
    many = risk_coverage(torch.rand(200_000), torch.arange(200_000) % 5 > 0)
    assert many.least_aurc == pytest.approx(0.2 + 0.8 * math.log(0.8), abs=1e-5)


def test_points_of_the_curve() -> None:
    curve = risk_coverage(torch.linspace(1, 0, 30), torch.arange(30) != 26)
    assert math.ceil(0.9 * 30) != 0.9 * 30 or math.ceil(0.7 * 30) == 21
    assert curve.risk_at(0.9) == pytest.approx(1 / 27)
    assert curve.risk_at(1) == pytest.approx(1 / 30)
    assert curve.risk_at(1e-12) == 0
    assert curve.coverage_at(0) == pytest.approx(26 / 30)
    assert curve.coverage_at(1 / 30) == 1
    assert risk_coverage(torch.ones(3), torch.zeros(3)).coverage_at(0.5) == 0
    for percent, num_nodes in itertools.product(range(1, 101), (7, 30, 100, 150)):
        k = -(-percent * num_nodes // 100)
        points = risk_coverage(torch.linspace(1, 0, num_nodes), torch.zeros(num_nodes))
        object.__setattr__(points, "risk", points.coverage)
        assert points.risk_at(percent / 100) == k / num_nodes


def test_equal_confidence_has_the_same_risk_everywhere() -> None:
    curve = risk_coverage(torch.zeros(10), torch.arange(10) < 7)
    np.testing.assert_allclose(curve.risk, 0.3)


def test_all_right_and_all_wrong() -> None:
    for value in (True, False):
        curve = risk_coverage(torch.rand(9), torch.full((9,), value))
        assert curve.aurc == curve.least_aurc == 1 - value


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'confidence' must be numbers, got nan in row 1"):
        risk_coverage(torch.tensor([0.5, math.nan]), torch.ones(2))
    with pytest.raises(ValueError, match=r"'confidence' must have shape .* at least one node"):
        risk_coverage(torch.ones(0), torch.ones(0))
    with pytest.raises(ValueError, match=r"'correct' must have shape \[2\], got \[3\]"):
        risk_coverage(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="'correct' must be zeros and ones, got 2"):
        risk_coverage(torch.ones(2), torch.tensor([1, 2]))
    with pytest.raises(TypeError, match="'correct' must be a tensor, got list"):
        risk_coverage(torch.ones(1), [1])
    with pytest.raises(ValueError, match="'ties' must be one of 'expected', 'in order', got 'any'"):
        risk_coverage(torch.ones(1), torch.ones(1), ties="any")
    curve = risk_coverage(torch.ones(1), torch.ones(1))
    with pytest.raises(ValueError, match="'coverage' must be above 0, got 0"):
        curve.risk_at(0)
    with pytest.raises(ValueError, match=r"'risk' must lie in \[0, 1\], got 5"):
        curve.coverage_at(5)
