"""How much memory a step takes beyond what the process holds already."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Usage", "memory_of_process", "memory_of_step"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Usage(NamedTuple):
    """Memory of one step in MB (10^6 bytes)."""

    peak: float
    """Most that was resident at any time, beyond what was before the step."""
    held: float
    """What was resident between forward and backward, beyond what was before the step."""


def memory_of_process(
    forward: Callable[[], Any], backward: Callable[[Any], object] | None
) -> Usage | None:
    """The same as :func:`memory_of_step`, with what the process held before."""
    return _run(forward, backward, beyond=False)


def memory_of_step(
    forward: Callable[[], Any], backward: Callable[[Any], object] | None
) -> Usage | None:
    """Run one step and see how the resident memory of this process grows.

    Linux keeps the high-water mark and lets a process reset its own.

    Args:
        forward: First half of the step.
        backward: Second half, called with the result of the first, if there is one.

    Returns:
        What the step took; ``None`` where the system does not tell (the step is not run then).
    """
    return _run(forward, backward, beyond=True)


def _run(
    forward: Callable[[], Any], backward: Callable[[Any], object] | None, *, beyond: bool
) -> Usage | None:
    if not (_CLEAR.exists() and _STATUS.exists()):
        return None
    gc.collect()
    _give_back()
    _CLEAR.write_text("5")
    before = _resident("VmRSS") if beyond else 0
    out = forward()
    # What malloc keeps for itself after temporaries is not held for backward.
    _give_back()
    held = _resident("VmRSS") - before
    if backward is not None:
        backward(out)
    return Usage(peak=(_resident("VmHWM") - before) / 1e6, held=held / 1e6)


def _resident(entry: str) -> int:
    """Bytes that the system notes for this process under ``VmRSS`` or ``VmHWM``."""
    found = re.search(rf"^{entry}:\s+(\d+) kB", _STATUS.read_text(), flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_STATUS} has no entry {entry!r}")
    return int(found[1]) * 1024


def _give_back() -> None:
    """Return freed memory to the system; only glibc needs to be told."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
