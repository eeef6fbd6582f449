from __future__ import annotations

from graphattn.bench import CASES


def test_names_are_those_of_the_command_line() -> None:
    assert all(name == name.lower() and callable(make) for name, make in CASES.items())
