from __future__ import annotations

import gc

import torch
from torch import Tensor

from graphattn.ops import _kept
from graphattn.ops._kept import kept


def total(tensor: Tensor, what: str = "total") -> Tensor:
    return kept(tensor, what, lambda: tensor.sum())


def test_it_is_made_once() -> None:
    tensor = torch.tensor([1, 2])
    assert total(tensor) is total(tensor)
    assert total(tensor, "other") is not total(tensor)


def test_it_follows_changes() -> None:
    tensor = torch.tensor([1, 2])
    assert total(tensor) == 3
    tensor[0] = 5
    assert total(tensor) == 7
    tensor.data = torch.tensor([1])
    assert total(tensor) == 1


def test_without_a_version_it_is_made_anew() -> None:
    with torch.inference_mode():
        tensor = torch.tensor([1, 2])
        assert total(tensor) == 3
        tensor[0] = 5
        assert total(tensor) == 7


def test_what_is_made_in_inference_mode_has_a_version() -> None:
    tensor = torch.tensor([1, 2])
    with torch.inference_mode():
        assert not total(tensor).is_inference()


def test_it_goes_with_its_tensor() -> None:
    gc.collect()
    before = len(_kept._KEPT)
    for value in (2, 3, 2, 3):
        tensor = torch.tensor([value])
        assert total(tensor) == value
    assert len(_kept._KEPT) == before + 1
    del tensor
    gc.collect()
    assert len(_kept._KEPT) == before
