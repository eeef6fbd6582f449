from __future__ import annotations

import pytest

from graphattn._core.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gat/cora ä ±", "gat/cora ä ±"),
        ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\udc80", r"\udc80"),
    ],
)
def test_spells_out_what_moves_the_cursor(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_keeps_what_it_is_told_to() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
