from __future__ import annotations

from graphattn._core.errors import unknown_name


def test_names_the_nearest() -> None:
    error = unknown_name("data set", "citseer", ["cora", "citeseer"])
    assert str(error).startswith("unknown data set 'citseer'; did you mean 'citeseer'?")


def test_lists_all_when_nothing_is_near() -> None:
    assert str(unknown_name("op", "zzz", ["b", "a"])) == "unknown op 'zzz'. (known: a, b)"
