"""One of several programs that do the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Contender"]


@dataclass(frozen=True)
class Contender:
    """A program to time."""

    name: str
    """Whose it is, and in which form."""
    step: Callable[[], object]
    """What is timed."""
    output: Callable[[], Tensor]
    """A result that must be equal for all contenders, such as the output in evaluation mode."""
