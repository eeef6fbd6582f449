"""Checks of settings, with errors that name the setting, its value and what was expected."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection
from typing import SupportsIndex

__all__ = [
    "as_count",
    "check_choice",
    "check_count",
    "check_number",
    "check_probability",
    "check_seed",
]


_LARGEST_SEED = 2**32 - 1


def check_number(name: str, value: object, *, positive: bool = False) -> None:
    """Reject what is not a finite number of at least (or, if ``positive``, above) zero.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"'{name}' must be a number, got {value!r}")
    if not _is_finite(value) or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "0 or more"
        raise ValueError(f"'{name}' must be finite and {bound}, got {value!r}")


def check_probability(name: str, value: object) -> None:
    """Reject what is not a number in ``[0, 1]``.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"'{name}' must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"'{name}' must lie in [0, 1], got {value!r}")


def check_count(name: str, value: object, *, least: int = 1, most: int = 2**63 - 1) -> None:
    """Reject what is not a whole number from ``least`` to ``most``.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is too small or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"'{name}' must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"'{name}' must be at least {least}, got {value!r}")
    if value > most:
        raise ValueError(f"'{name}' must be at most {most}, got {value!r:.50}")


def as_count(name: str, value: SupportsIndex, *, least: int = 1) -> int:
    """A whole number of any kind, such as one of NumPy's, as Python's.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is smaller than ``least``.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"'{name}' must be a whole number, got {value!r}") from None
    check_count(name, count, least=least)
    return count


def check_seed(name: str, value: object) -> None:
    """Reject what can't seed all generators of random numbers.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is negative, or above the 32 bits that NumPy takes.
    """
    check_count(name, value, least=0, most=_LARGEST_SEED)


def check_choice(name: str, value: object, known: Collection[str | None]) -> None:
    """Reject what is not one of the known words.

    Raises:
        ValueError: If it is not.
    """
    if value not in known:
        choices = ", ".join(repr(word) for word in known)
        raise ValueError(f"'{name}' must be one of {choices}, got {value!r}")


def _is_finite(value: float) -> bool:
    """Whether a number is finite, and small enough to count with."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
