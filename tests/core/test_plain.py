from __future__ import annotations

import time
from pathlib import Path

import pytest

from graphattn._core.plain import check_plain, dump_yaml, parse_json, parse_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_plain_values_come_back() -> None:
    values = {
        "text": ["yes", "1e-5", "null", "", "ä", "2001-01-01", "<<", "0x10"],
        "numbers": [1, -1, 0.1 + 0.2, 1e-5, 1e300, True, None],
        "empty": {"list": [], "mapping": {}},
    }
    assert parse_yaml(dump_yaml(values)) == values
    assert list(parse_yaml(dump_yaml({"b": 1, "a": 2}))) == ["b", "a"]
    assert parse_yaml(b"") is None
    assert parse_json(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def test_what_stands_in_two_places_is_written_twice() -> None:
    shared = [1, 2]
    assert parse_yaml(dump_yaml({"a": shared, "b": shared})) == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "aliases of 'b' must not be used"),
        ("seed: &s 1\nother: *s", "aliases of 'other'"),
        ("*a : 1", "aliases must not be used"),
        ("train: &t\n  lr: *t", "aliases of 'train.lr'"),
        ("model: {heads: " + "[" * 3000, "nested at most 20 deep, got more of 'model.heads'"),
        ("{a: " * 3000, "nested at most 20 deep, got more of 'a.a.a"),
        ("- " * 3000 + "1", "nested at most 20 deep"),
        ("? " * 3000 + "1", "nested at most 20 deep"),
        ("model:\n  3: 1", "keys of 'model' must be strings, got '3' in line 2"),
        ("null: 1", "keys must be strings, got 'null' in line 1"),
        ("model: {~: 1}", "keys of 'model' must be strings, got '~'"),
        ("on: 1", "keys must be strings, got 'on'"),
        ("model: {[1, 2]: 1}", "keys of 'model' must be strings, got .*:seq in"),
        ("? {a: 1}\n: 1", "keys must be strings, got .*:map in"),
        ("a: 1\na: 2", "key 'a' must be given once"),
        ("train: {lr: 2001-01-01}", "a value of 'train.lr' must be plain, got .*timestamp"),
        ("train: {lr: !!binary aGk=}", "a value of 'train.lr' must be plain, got .*binary"),
        ("train: {lr: !!python/name:os.system }", "a value of 'train.lr' must be plain"),
        ("train: {lr: !!int one}", "a value of 'train.lr' can't be read"),
        ("seed: " + "9" * 5000, "a value of 'seed' can't be read"),
        ("seed: 0x" + "f" * 5000, "whole numbers of 'seed' must fit 64 bits"),
        ("seed: " + "x" * 20_000, "text of 'seed' must have at most 10000 characters"),
        ("a: [1", "no valid YAML"),
        ("a: \x00", "no valid YAML"),
        ("a: 1\n---\nb: 2", "no valid YAML"),
    ],
)
def test_hostile_yaml_is_an_error_in_one_line_and_at_once(text: str, message: str) -> None:
    begun = time.perf_counter()
    with pytest.raises((ValueError, TypeError), match=message) as info:
        parse_yaml(text.encode())
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 500
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested at most 20 deep"),
        ('{"a": ' * 30 + "1" + "}" * 30, "nested at most 20 deep, got more of 'a.a"),
        ('{"seed": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"seed": ' + "9" * 500 + "}", "whole numbers of 'seed' must fit 64 bits"),
        ("{", "Expecting property name"),
        ("\xff", "decode"),
    ],
)
def test_hostile_json_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text.encode("latin-1"))


@pytest.mark.parametrize("value", [Path("a"), (1, 2), {1: 2}, {"a": {"b": object()}}, b"a"])
def test_other_values_are_an_error(value: object) -> None:
    with pytest.raises(TypeError, match=r"must be (plain|strings)"):
        check_plain(value)
    with pytest.raises(TypeError, match=r"must be (plain|strings)"):
        dump_yaml(value)


def test_a_list_in_itself_is_an_error() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="nested at most 20 deep"):
        check_plain({"a": circle})
