"""A map of numbers that is given by points."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["PiecewiseLinear"]


class PiecewiseLinear(nn.Module):
    """Interpolates between points; before the first and after the last it stays level.

    It starts as the identity on ``[0, 1]``. The points are in the state dict, however many there
    are. Nothing is differentiated.
    """

    points: Tensor

    def __init__(self) -> None:
        super().__init__()
        # A buffer of the state dict would have to keep its shape.
        self.register_buffer("points", torch.empty(2, 0), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the map to the identity on ``[0, 1]``."""
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device=self.points.device)
        self.points = torch.stack([ends, ends])

    def set_points(self, x: np.ndarray, y: np.ndarray) -> None:
        """Set the points.

        Args:
            x: Positions, ascending. Shape ``[K]``.
            y: Values. Shape ``[K]``.
        """
        found = torch.from_numpy(np.stack([x, y]).astype(np.float64))
        self.points = found.to(self.points.device)

    def get_extra_state(self) -> Tensor:
        """The points, for the state dict."""
        return self.points

    def set_extra_state(self, state: Tensor) -> None:
        """Take the points of a state dict."""
        self.points = state.detach().clone().to(self.points.device)

    def at(self, x: Tensor) -> Tensor:
        """Values at ``x``, of any shape, in ``float64``."""
        places, values = self.points.double().cpu().numpy()
        found = np.interp(x.detach().double().cpu().numpy(), places, values)
        return torch.from_numpy(np.asarray(found)).to(x.device)
