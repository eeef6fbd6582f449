from __future__ import annotations

import numpy as np
import torch

from graphattn.calibration.piecewise import PiecewiseLinear


def test_starts_as_the_identity() -> None:
    x = torch.rand(3, 4)
    assert torch.equal(PiecewiseLinear().at(x), x.double())


def test_between_points_and_beyond_them() -> None:
    curve = PiecewiseLinear()
    curve.set_points(np.array([0.2, 0.4, 0.8]), np.array([0.0, 0.5, 0.3]))
    found = curve.at(torch.tensor([0.0, 0.3, 0.4, 0.6, 0.9]).double())
    torch.testing.assert_close(found, torch.tensor([0.0, 0.25, 0.5, 0.4, 0.3]).double())
    assert curve.at(torch.tensor(0.3)).shape == ()
    curve.reset_parameters()
    assert float(curve.at(torch.tensor(0.25))) == 0.25


def test_state_of_any_size() -> None:
    curve, other = PiecewiseLinear(), PiecewiseLinear()
    curve.set_points(np.linspace(0, 1, 7), np.linspace(0, 1, 7) ** 2)
    state = curve.state_dict()
    other.load_state_dict(state)
    assert torch.equal(other.points, curve.points)
    other.points[:] = 0
    assert float(curve.points.sum()) > 0
