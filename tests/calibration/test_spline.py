from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from torch import Tensor

from graphattn.calibration import SplineScaler


def case(num_nodes: int = 120) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (num_nodes,), generator=generator)
    noise = torch.randn(num_nodes, 3, generator=generator, dtype=torch.float64)
    return 3 * (torch.eye(3)[y] + noise), y, torch.ones(num_nodes, dtype=torch.bool)


def test_slope_of_the_nearest_spline_by_a_general_solver() -> None:
    logits, y, mask = case()
    scaler = SplineScaler(knots=5, published=True).fit(logits, y, val_mask=mask)
    confidence, top = logits.softmax(dim=1).max(dim=1)
    order = confidence.argsort()
    x, right = confidence[order].numpy(), (top == y)[order].numpy()
    places, knots = np.linspace(0, 1, 120), np.linspace(0, 1, 5)
    target = np.cumsum(right - x) / 120

    def off(at_knots: np.ndarray) -> np.ndarray:
        return CubicSpline(knots, at_knots, bc_type="natural")(places) - target

    found = least_squares(off, np.zeros(5), xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    expected = (x + CubicSpline(knots, found, bc_type="natural")(places, 1)).clip(0, 1)
    new = scaler(logits).exp()[order, top[order]]
    np.testing.assert_allclose(new, expected, atol=1e-7)


def test_other_classes_keep_their_proportions() -> None:
    logits, y, mask = case()
    scaler = SplineScaler().fit(logits, y, val_mask=mask)
    probs = scaler(logits).exp()
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(120, dtype=torch.float64))
    order = logits.argsort(dim=1)
    before = logits.gather(1, order[:, :2]).diff(dim=1)
    torch.testing.assert_close(probs.log().gather(1, order[:, :2]).diff(dim=1), before)


def test_equal_confidences_count_and_do_not_depend_on_their_order() -> None:
    # Of many nodes with one confidence 7 in 10 are right, of the few others all.
    logits = torch.tensor([[3.0, 0.0]]).repeat(100, 1)
    logits[:3] = torch.tensor([[1.0, 0.0], [1.5, 0.0], [2.0, 0.0]])
    y = torch.zeros(100, dtype=torch.long)
    y[71:] = 1
    mask = torch.ones(100, dtype=torch.bool)
    scaler = SplineScaler().fit(logits, y, val_mask=mask)
    found = scaler(logits).softmax(dim=1)[50, 0]
    assert abs(float(found) - 0.7) < 0.05
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    other = SplineScaler().fit(logits[order], y[order], val_mask=mask)
    torch.testing.assert_close(other(logits), scaler(logits))


def test_all_right_and_all_wrong() -> None:
    logits, _, mask = case(20)
    top = logits.argmax(dim=1)
    sure = SplineScaler().fit(logits, top, val_mask=mask)(logits)
    assert float(sure.softmax(dim=1).max()) <= 20 / 21 + 1e-12
    wrong = SplineScaler().fit(logits, (top + 1) % 3, val_mask=mask)(logits)
    assert torch.equal(wrong.argmax(dim=1), top)
    published = SplineScaler(published=True).fit(logits, (top + 1) % 3, val_mask=mask)(logits)
    assert bool((published.argmax(dim=1) != top).any())


def test_published_form_follows_the_last_line() -> None:
    logits, y, mask = case()
    confidence = logits.softmax(dim=1).amax(dim=1)
    mask &= (confidence < 0.9) & (confidence > 0.5)
    points = SplineScaler(published=True).fit(logits, y, val_mask=mask).curve.points
    assert points[0, 0] == 0
    assert points[0, -1] == 1
    slopes = points[1].diff() / points[0].diff()
    torch.testing.assert_close(slopes[[0, -1]], slopes[[1, -2]])


def test_certain_nodes() -> None:
    logits = torch.tensor([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0], [0.0, 0.0, 1e4]])
    y = torch.tensor([0, 1, 0])
    scaler = SplineScaler().fit(logits, y, val_mask=torch.ones(3, dtype=torch.bool))
    probs = scaler(logits).softmax(dim=1)
    expected = torch.tensor([2 / 3, 1 / 6, 1 / 6])
    torch.testing.assert_close(probs[0], expected, atol=1e-4, rtol=0)


def test_settings() -> None:
    with pytest.raises(ValueError, match="'knots' must be at least 2, got 1"):
        SplineScaler(knots=1)


def test_only_our_form_promises_to_keep_predictions() -> None:
    assert SplineScaler().preserves_accuracy
    assert not SplineScaler(published=True).preserves_accuracy
