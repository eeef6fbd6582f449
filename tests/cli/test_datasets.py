from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphattn.data import cards


def test_lists_all(graphattn: Callable[..., Any]) -> None:
    out = graphattn("datasets").out
    assert all(card.name in out for card in cards())


def test_tells_about_one(graphattn: Callable[..., Any]) -> None:
    out = graphattn("datasets", "Cora").out
    for text in ("2,708 nodes", "140/500/1000", "kimiyoung/planetoid", "licence"):
        assert text in out


def test_checks_one(graphattn: Callable[..., Any]) -> None:
    assert "equal to its card" in graphattn("datasets", "digits", "--check").out


def test_unknown_one(graphattn: Callable[..., Any]) -> None:
    done = graphattn("datasets", "wisconsn")
    assert done.status == 2
    assert "did you mean 'wisconsin'" in done.err
