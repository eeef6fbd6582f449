from __future__ import annotations

from pathlib import Path

import torch

from graphattn.bench import Settings
from graphattn.bench.aero import cora_lineup, large_lineup
from graphattn.bench.measuring import errors_of


def test_both_forms_agree_with_float64(data_root: Path) -> None:
    lineup = cora_lineup(Settings(root=data_root))
    assert [contender.kind for contender in lineup.contenders] == ["ours", "plain"]
    for contender in lineup.contenders:
        assert contender.results is not None
        errors = errors_of(contender.results(), lineup.reference)
        assert errors["output error"] < 1e-4
        assert errors["gradient error"] < 1e-4


def test_large_form_trains() -> None:
    (ours,) = large_lineup(Settings(scale=1e-9)).contenders
    assert ours.backward is not None
    loss = ours.forward()
    assert bool(torch.isfinite(loss))
    ours.backward(loss)
