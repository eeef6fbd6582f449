from __future__ import annotations

import torch
from torch import nn

from graphattn.calibration.conformal._fitted import Fitted


class Holder(Fitted):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("found", torch.zeros(()))


def test_loads_a_buffer_of_another_shape() -> None:
    saved = Holder()
    saved.found = torch.arange(5.0)
    # Inside another module, too.
    loaded = nn.Sequential(Holder())
    loaded.load_state_dict(nn.Sequential(saved).state_dict())
    assert torch.equal(loaded[0].found, saved.found)
