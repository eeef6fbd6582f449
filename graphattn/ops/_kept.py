"""What follows from a tensor, kept for as long as the tensor lives unchanged."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["kept"]

Value = TypeVar("Value")

_KEPT: dict[tuple[int, Hashable], tuple[tuple[int, ...], Any]] = {}


def kept(tensor: Tensor, what: Hashable, make: Callable[[], Value]) -> Value:
    """What ``make`` returns, made once.

    Changes are seen as autograd sees them, by the tensor's version. Those that torch does not count
    (through ``.data``, or in memory shared with NumPy) are not; for tensors made under inference
    mode, which have no version, it is made anew in every call.

    Args:
        tensor: The tensor.
        what: Tells what is made from what else follows from the same tensor.
        make: Makes it.
    """
    if tensor.is_inference():
        return make()
    key = (id(tensor), what)
    state = (tensor._version, tensor.data_ptr(), *tensor.shape)
    found = _KEPT.get(key)
    if found is not None and found[0] == state:
        value: Value = found[1]
        return value
    # So that what is made in inference mode has a version, too.
    with torch.inference_mode(False):
        value = make()
    if found is None:
        weakref.finalize(tensor, _KEPT.pop, key, None)
    _KEPT[key] = (state, value)
    return value
