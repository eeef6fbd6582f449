from __future__ import annotations

from collections.abc import Callable

import pytest

from graphattn._core.checks import (
    check_choice,
    check_count,
    check_number,
    check_probability,
    check_seed,
)


def test_what_is_right_passes() -> None:
    check_number("lr", 0)
    check_probability("p", 1)
    check_count("n", 0, least=0)
    check_seed("seed", 2**32 - 1)
    check_choice("word", None, (None, "a"))


@pytest.mark.parametrize(
    ("check", "error", "text"),
    [
        (lambda: check_number("lr", "1"), TypeError, "'lr' must be a number, got '1'"),
        (lambda: check_number("lr", True), TypeError, "'lr' must be a number, got True"),
        (lambda: check_number("lr", 0, positive=True), ValueError, "'lr' .* above 0, got 0"),
        (lambda: check_number("lr", float("inf")), ValueError, "'lr' must be finite"),
        (lambda: check_probability("p", 1.1), ValueError, r"'p' must lie in \[0, 1\], got 1.1"),
        (lambda: check_probability("p", None), TypeError, "'p' must be a number, got None"),
        (lambda: check_count("n", 1.0), TypeError, "'n' must be a whole number, got 1.0"),
        (lambda: check_count("n", 0), ValueError, "'n' must be at least 1, got 0"),
        (lambda: check_count("n", 9, most=8), ValueError, "'n' must be at most 8, got 9"),
        (lambda: check_count("n", 2**64), ValueError, "'n' must be at most 9223372036854775807"),
        (lambda: check_number("lr", 10**400), ValueError, "'lr' must be finite"),
        (lambda: check_seed("s", -1), ValueError, "'s' must be at least 0, got -1"),
        (lambda: check_seed("s", 2**32), ValueError, "'s' must be at most 4294967295"),
        (lambda: check_seed("s", "0"), TypeError, "'s' must be a whole number, got '0'"),
        (lambda: check_choice("w", "c", ("a", "b")), ValueError, "'w' must be one of 'a', 'b'"),
    ],
)
def test_errors(check: Callable[[], None], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        check()
