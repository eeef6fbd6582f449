from __future__ import annotations

import contextlib

import pytest
import torch

from graphattn.train.device import deterministic, make_fabric


def test_auto_takes_a_gpu_when_there_is_one() -> None:
    expected = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = "cpu" if expected is None else expected.type
    assert make_fabric("auto", "32-true").device.type == kind
    assert make_fabric("cpu", "32-true").device.type == "cpu"


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error() -> None:
    with pytest.raises(ValueError, match="'accelerator' 'gpu' can't be used here"):
        make_fabric("gpu", "32-true")


@pytest.mark.parametrize("before", [0, 1, 2])
def test_deterministic_mode_goes_back_to_what_it_was(before: int) -> None:
    torch.set_deterministic_debug_mode(before)
    try:
        with contextlib.suppress(KeyError), deterministic(True):
            assert torch.get_deterministic_debug_mode() == 2
            raise KeyError
        assert torch.get_deterministic_debug_mode() == before
    finally:
        torch.set_deterministic_debug_mode(0)


def test_nothing_changes_unless_enabled() -> None:
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
