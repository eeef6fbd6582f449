from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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


def test_tells_about_ones_own(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text("id,label,f\n1,\x1b[31m,0\n2,b,1\n3,,1\n")
    (tmp_path / "edges.csv").write_text("source,target\n1,2\n2,1\n")
    done = graphattn("datasets", tmp_path)
    assert done.status == 0, done.err
    assert done.out.strip() == (
        r"3 nodes, 2 edges, 1 features, 2 classes ('\x1b[31m', 'b'), no split, draw one with "
        "--data.split 60/20/20"
    )
    nodes = "id,label,f,split_0,split_1\n1,a,0,train,test\n2,b,1,val,val\n3,b,1,test,train\n"
    (tmp_path / "nodes.csv").write_text(nodes)
    assert "split 1/1/1 (the first of 2)" in graphattn("datasets", tmp_path).out
    (tmp_path / "nodes.csv").write_text("id,f\n1,0\n2,x\n")
    done = graphattn("datasets", tmp_path)
    assert done.status == 2
    assert "nodes.csv, line 3, column 'f': got 'x'" in done.err
