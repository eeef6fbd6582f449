"""How a split is drawn, said in a few characters: ``60/20/20`` or ``20-per-class/500/1000``."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["SplitRule", "is_rule"]

_SHARES = re.compile(r"([\d.]+)/([\d.]+)/([\d.]+)(-per-class)?")
_COUNTS = re.compile(r"(\d+)-per-class/(\d+)/(\d+|rest)")


@dataclass(frozen=True)
class SplitRule:
    """What :meth:`parse` makes of a rule."""

    train: float
    """Training nodes: percent of all labelled nodes, or a count of each class."""
    val: float
    """Validation nodes: percent, or a count over all classes."""
    test: float | None
    """Test nodes: percent, or a count over all classes; ``None`` is all that are left."""
    per_class: bool
    """Whether each class is divided by itself."""
    counts: bool
    """Whether the numbers are counts."""

    @classmethod
    def parse(cls, text: str) -> SplitRule:
        """Read a rule.

        ``60/20/20`` are percent of the labelled nodes; ``60/20/20-per-class`` are percent of every
        class; ``20-per-class/500/1000`` are 20 training nodes of each class, 500 nodes for
        validation and 1,000 for test, with ``rest`` for all that are left.

        Args:
            text: The rule.

        Raises:
            ValueError: If it is none of these, a share is not above 0, or shares sum to more than
                100.

        Example:
            >>> SplitRule.parse("48/32/20").per_class
            False
        """
        if found := _COUNTS.fullmatch(text):
            train, val, test = found.groups()
            rule = cls(int(train), int(val), None if test == "rest" else int(test), True, True)
            if 0 in (rule.train, rule.val, rule.test):
                raise ValueError(f"a split must have nodes in all three parts, got {text!r}")
            return rule
        if not (found := _SHARES.fullmatch(text)):
            raise ValueError(
                "a split must be drawn by a rule like 60/20/20 (percent), 60/20/20-per-class or "
                f"20-per-class/500/1000 (counts; or .../rest), got {text!r}"
            )
        try:
            first, second, third = (float(share) for share in found.groups()[:3])
        except ValueError as error:
            raise ValueError(f"a share of a split must be a number, got {text!r}") from error
        # Ten decimals: 33.3 + 33.3 + 33.4 is not 100 in floating point.
        if min(first, second, third) <= 0 or round(first + second + third, 10) > 100:
            raise ValueError(
                "the shares of a split are percent, each above 0 and together at most 100, got "
                f"{text!r}; counts are written 20-per-class/500/1000"
            )
        return cls(first, second, third, per_class=found.group(4) is not None, counts=False)


def is_rule(text: str) -> bool:
    """Whether a text is meant as a rule, and not as the name of a protocol.

    Args:
        text: Anything.
    """
    return "/" in text
