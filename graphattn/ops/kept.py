"""What follows from a tensor, kept for as long as the tensor lives unchanged."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._transforms import is_transformed

__all__ = ["fingerprint", "forget", "kept", "shares_pattern"]

Value = TypeVar("Value")

MOST = 16
"""Things that are kept beside one tensor, its views included; the one used longest ago goes."""
ALL_OF = 1 << 16
"""Entries up to which a fingerprint takes all of them."""
SAMPLES = 1 << 10
"""Entries of each row that it takes of a larger tensor."""

_OWNER = "_graphattn_owner"

_KEPT: dict[int, _Beside] = {}


class _Beside(OrderedDict[Hashable, tuple[tuple[int, ...], Any]]):
    """What is kept beside a tensor, and how to learn that it is gone."""

    def __init__(self, owner: Any) -> None:
        super().__init__()
        place, everything = id(owner), _KEPT
        self.owner = weakref.ref(owner, lambda _: everything.pop(place, None))


def kept(tensor: Tensor, what: Hashable, make: Callable[[], Value], *, owner: Any = None) -> Value:
    """What ``make`` returns, made once for a tensor or for equal views of one.

    Changes are seen as autograd sees them, by the tensor's version; on the CPU also by a
    :func:`fingerprint`, since torch does not count those through ``.data`` or in memory that is
    shared with NumPy. What is made of tensors of inference mode, which have no version, is not
    kept.

    Args:
        tensor: The tensor, of whole numbers.
        what: Tells what is made from what else follows from the same tensor.
        make: Makes it.
        owner: Beside what it is kept, if not beside the tensor: a matrix whose indices that is.
    """
    if is_transformed() or tensor.is_inference():
        return make()
    if owner is None:
        base = tensor._base
        owner = tensor if base is None else base
    owner = getattr(owner, _OWNER, owner)
    beside = _KEPT.get(id(owner))
    if beside is None or beside.owner() is not owner:
        beside = _KEPT[id(owner)] = _Beside(owner)
    key = (tensor.data_ptr(), tensor.shape, tensor.stride(), what)
    state = (tensor._version, fingerprint(tensor))
    found = beside.get(key)
    if found is not None and found[0] == state:
        beside.move_to_end(key)
        value: Value = found[1]
        return value
    # So that what is made in inference mode has a version, too.
    with torch.inference_mode(False):
        value = make()
    beside[key] = (state, value)
    while len(beside) > MOST:
        beside.popitem(last=False)
    return value


def shares_pattern(matrix: Tensor, other: Tensor) -> Tensor:
    """A sparse matrix, marked as one with the pattern of another, which may live longer.

    What is made of the pattern is then kept beside the other, once for all that share it.

    Args:
        matrix: The matrix. Its indices are those of ``other``, in the same memory.
        other: The other one.
    """
    if not torch.compiler.is_compiling():
        setattr(matrix, _OWNER, getattr(other, _OWNER, other))
    return matrix


def forget() -> None:
    """Drop all that is kept."""
    _KEPT.clear()


def fingerprint(tensor: Tensor, *, whole: bool = False) -> int:
    """A hash of the entries on the CPU; of a large tensor, of a part of them that is spread evenly.

    Args:
        tensor: Whole numbers, in one or two dimensions. On other devices the answer is 0, since
            reading it would wait for the device.
        whole: Take all entries, however many there are.
    """
    if tensor.device.type != "cpu":
        return 0
    matrix = tensor if tensor.dim() == 2 else tensor.view(1, -1)
    samples = matrix.size(1)
    if not whole and tensor.numel() > ALL_OF:
        samples = min(samples, SAMPLES)
    if _native.why_missing() is None:
        return _native.fingerprint(matrix, samples)
    if samples < matrix.size(1):
        matrix = matrix[:, torch.linspace(0, matrix.size(1) - 1, samples).long()]
    return hash(matrix.contiguous().numpy().tobytes())
