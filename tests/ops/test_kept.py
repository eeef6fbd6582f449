from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import Tensor

from graphattn.ops import kept as module
from graphattn.ops.kept import kept


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
    before = len(module._KEPT)
    for value in (2, 3, 2, 3):
        tensor = torch.tensor([value])
        assert total(tensor) == value
    assert len(module._KEPT) == before + 1
    del tensor
    gc.collect()
    assert len(module._KEPT) == before


def test_what_torch_does_not_count_is_seen() -> None:
    array = np.array([1, 2])
    tensor = torch.from_numpy(array)
    assert total(tensor) == 3
    array[0] = 5
    assert total(tensor) == 7
    tensor.data.copy_(torch.tensor([4, 4]))
    assert total(tensor) == 8


def test_of_a_large_tensor_a_sample_is_seen() -> None:
    tensor = torch.zeros(2, module.ALL_OF, dtype=torch.long)
    assert total(tensor) == 0
    tensor.data += 1
    assert total(tensor) == tensor.numel()


def test_views_made_anew_share_what_is_kept() -> None:
    edges = torch.tensor([[1, 2], [3, 4]])
    assert total(edges[1]) is total(edges[1])
    assert total(edges[1]) is not total(edges[0])
    edges[1, 0] = 7
    assert total(edges[1]) == 11


def test_it_has_a_bound() -> None:
    tensor = torch.tensor([1, 2])
    for k in range(2_000):
        total(tensor, str(k))
        total(tensor[:1], str(k))
    assert len(module._KEPT[id(tensor)]) == module.MOST


def test_it_can_be_forgotten() -> None:
    tensor = torch.tensor([1, 2])
    before = total(tensor)
    module.forget()
    assert total(tensor) is not before


@pytest.mark.parametrize("native", [True, False])
def test_fingerprints_tell_contents_apart(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:
        monkeypatch.setattr(module._native, "why_missing", lambda: "left out")
    elif module._native.why_missing() is not None:
        pytest.skip("no native library")
    torch.manual_seed(0)
    edges = torch.randint(100, (2, 500))
    found = {module.fingerprint(edges)}
    for place in range(50):
        other = edges.clone()
        other[place % 2, 9 * place] += 1
        found.add(module.fingerprint(other))
    assert len(found) == 51
    strided = torch.stack([edges, edges + 1], dim=2)[..., 0]
    assert module.fingerprint(strided) == module.fingerprint(edges)
    assert module.fingerprint(edges.flip(0)) != module.fingerprint(edges)
    assert module.fingerprint(edges.to("meta")) == 0
