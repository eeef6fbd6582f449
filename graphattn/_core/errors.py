"""Texts of the errors that name what was given and what would have been right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["unknown_name"]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not in a table, with the nearest ones that are.

    Args:
        kind: What is named, as the reader would call it (``"data set"``).
        name: The name that was given.
        known: The names that exist.

    Returns:
        An error to raise.

    Example:
        >>> unknown_name("data set", "coral", ["cora", "citeseer"])
        ValueError("unknown data set 'coral'; did you mean 'cora'? (known: citeseer, cora)")
    """
    known = sorted(known)
    near = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "."
    return ValueError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")
