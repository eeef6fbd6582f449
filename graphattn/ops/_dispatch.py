"""Which implementation of an op runs, and why.

Every op has ``reference`` (plain torch, its definition). ``cpu`` (native C++) and ``gpu`` (Triton)
are faster where they exist; ``scatter`` (torch-scatter) is a third form of the segment reductions,
taken on request only. Without a wish, the fastest that serves the device is taken; a wish comes, in
this order, from :func:`use_implementation` or from ``GRAPHATTN_IMPLEMENTATION``.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import torch

from graphattn._core.errors import unknown_name
from graphattn.ops import _native, _triton

__all__ = ["ENVIRONMENT_SWITCH", "Choice", "choices", "choose", "use_implementation"]

ENVIRONMENT_SWITCH = "GRAPHATTN_IMPLEMENTATION"
IMPLEMENTATIONS = ("reference", "cpu", "gpu", "scatter")
_OF_DEVICE = MappingProxyType({"cpu": "cpu", "cuda": "gpu"})

FAST_PATHS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "aero_propagate": frozenset({"cpu"}),
        "attend": frozenset({"cpu", "gpu"}),
        "build_csr": frozenset({"cpu"}),
        "edge_softmax": frozenset({"cpu", "gpu", "scatter"}),
        "sample_neighbors": frozenset({"cpu"}),
        "sparse_linear": frozenset({"cpu"}),
        "spmm": frozenset({"cpu", "gpu", "scatter"}),
    }
)
"""Every op, with the implementations it has besides its reference."""

_wishes: ContextVar[Mapping[str, str]] = ContextVar(
    "graphattn_implementation", default=MappingProxyType({})
)

_of_checkpoints: weakref.WeakKeyDictionary[Any, Mapping[str, str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Choice:
    """The implementation that an op uses on a device."""

    op: str
    """Name of the op."""
    device: str
    """Device type, as torch names it."""
    implementation: str
    """One of ``reference``, ``cpu``, ``gpu``, ``scatter``."""
    reason: str
    """Why, in a few words."""


@contextmanager
def use_implementation(name: str, *ops: str) -> Iterator[None]:
    """Ask for one implementation of every op that has it; the others use their reference.

    Code under ``torch.compile`` keeps what was asked for when it was compiled.

    Args:
        name: ``"reference"``, ``"cpu"``, ``"gpu"`` or ``"scatter"``.
        *ops: Names of the ops that are meant; all of them if none is given.

    Raises:
        ValueError: If there is no implementation or no op of that name.

    Example:
        >>> with use_implementation("reference"):
        ...     choose("build_csr", "cpu").implementation
        'reference'
    """
    for op in ops:
        if op not in FAST_PATHS:
            raise unknown_name("op", op, FAST_PATHS)
    wishes = dict.fromkeys(ops or FAST_PATHS, _checked(name))
    token = _wishes.set({**_wishes.get(), **wishes})
    try:
        yield
    finally:
        _wishes.reset(token)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def choose(op: str, device: str) -> Choice:
    """Pick the implementation of ``op`` on ``device``.

    Args:
        op: Name of the op, a key of ``FAST_PATHS``.
        device: Device type of its tensors (``"cpu"``, ``"cuda"``).

    Raises:
        ValueError: If ``GRAPHATTN_IMPLEMENTATION`` names no implementation.
        RuntimeError: If an implementation is asked for and what it stands on is missing.
    """
    wish = _wishes_here().get(op) or os.environ.get(ENVIRONMENT_SWITCH)
    fastest = _OF_DEVICE.get(device)
    name = fastest if wish is None else _checked(wish)
    if name is None or name not in FAST_PATHS[op]:
        none = f"no other implementation on {device} yet"
        return Choice(op, device, "reference", none if wish is None else f"{wish!r} was asked for")
    if (missing := _why_missing(name)) is not None:
        if wish is not None:
            raise RuntimeError(f"{wish!r} was asked for and can't be had: {missing}")
        return Choice(op, device, "reference", missing)
    if name == fastest:
        return Choice(op, device, name, "fastest here")
    interpreted = name == "gpu" and device == "cpu" and _triton.interprets()
    served = name if name == "scatter" or interpreted else "reference"
    return Choice(op, device, served, f"{wish!r} was asked for")


def _wishes_here() -> Mapping[str, str]:
    """What is asked for; inside of a checkpoint, what was when it ran first.

    A checkpoint runs a function again in the backward pass, which may be outside of the ``with``
    block of the first time; another implementation would save other tensors.
    """
    wishes = _wishes.get()
    if not wishes and not _of_checkpoints:
        return wishes
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    pack = None if hooks is None else hooks[0]
    pack = getattr(pack, "_torchdynamo_orig_callable", pack)
    names = getattr(getattr(pack, "__code__", None), "co_freevars", ())
    cells = dict(zip(names, getattr(pack, "__closure__", None) or (), strict=False))
    if "frame" in cells:  # of torch.utils.checkpoint, in the first run
        _of_checkpoints.setdefault(cells["frame"].cell_contents, wishes)
    elif "target_frame_ref" in cells:  # and when it runs again
        return _of_checkpoints.get(cells["target_frame_ref"].cell_contents(), wishes)
    return wishes


def choices(device: str) -> list[Choice]:
    """What every op uses on ``device``, in alphabetical order."""
    return [choose(op, device) for op in sorted(FAST_PATHS)]


def _why_missing(name: str) -> str | None:
    """Why the fast implementations of that name can't be had, in words."""
    if name == "gpu":
        return _triton.why_missing()
    if name == "scatter":
        return None if find_spec("torch_scatter") else "torch-scatter is not installed"
    missing = _native.why_missing()
    return None if missing is None else f"native library {missing}"


def _checked(name: str) -> str:
    if name not in IMPLEMENTATIONS:
        raise unknown_name("implementation", name, IMPLEMENTATIONS)
    return name
