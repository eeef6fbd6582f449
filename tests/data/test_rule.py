from __future__ import annotations

import pytest

from graphattn.data._rule import SplitRule, is_rule


@pytest.mark.parametrize(
    ("text", "train", "val", "test", "per_class", "counts"),
    [
        ("60/20/20", 60, 20, 20, False, False),
        ("2.5/2.5/95", 2.5, 2.5, 95, False, False),
        ("33.3/33.3/33.4", 33.3, 33.3, 33.4, False, False),
        ("48/32/20-per-class", 48, 32, 20, True, False),
        ("20-per-class/500/1000", 20, 500, 1000, True, True),
        ("5-per-class/30/rest", 5, 30, None, True, True),
    ],
)
def test_rules(text: str, train: float, val: float, test: float, per_class: bool, counts: bool):
    assert SplitRule.parse(text) == SplitRule(train, val, test, per_class, counts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60/20", r"a rule like 60/20/20 \(percent\).* got '60/20'"),
        ("random", "a rule like 60/20/20"),
        ("60/20/rest", "a rule like 60/20/20"),
        ("20-per-class/500/-1", "a rule like 60/20/20"),
        ("20-per-class/500/1e3", "a rule like 60/20/20"),
        ("140/500/1000", "together at most 100, got '140/500/1000'; counts are written 20-per"),
        ("60/20/20.1", "together at most 100"),
        ("60/0/40", "each above 0"),
        ("1.2.3/20/20", "must be a number, got '1.2.3/20/20'"),
        ("0-per-class/500/1000", "nodes in all three parts"),
        ("20-per-class/0/rest", "nodes in all three parts"),
        ("20-per-class/5/0", "nodes in all three parts"),
    ],
)
def test_what_is_no_rule(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitRule.parse(text)


def test_rules_and_names() -> None:
    assert is_rule("60/20/20")
    assert is_rule("60/20")
    assert not is_rule("geom-gcn")
