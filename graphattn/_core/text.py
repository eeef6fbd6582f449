"""Text of unknown origin, made fit for a terminal."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, *, keep: str = "") -> str:
    r"""Text in which control characters, escape sequences and the like are spelled out.

    Args:
        text: Any text.
        keep: Characters to leave as they are, such as line breaks.

    Returns:
        The text with a backslash sequence for each character that can't be printed.

    Example:
        >>> printable("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    return "".join(
        sign if sign.isprintable() or sign in keep else sign.encode("unicode_escape").decode()
        for sign in text
    )
