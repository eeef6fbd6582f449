from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphattn.bench import (
    Figure,
    Missing,
    Row,
    Table,
    as_text,
    load_tables,
    processor,
    save_tables,
    speed_table,
)

TABLE = Table(
    case="gat 8x8",
    inputs="a graph",
    threads=2,
    note="largest in-degree 9",
    rows=[
        Row("graphattn", "ours", 5, 40.0, 100.0, 250.0, 90.0, None, {"output error": 1.5e-7}),
        Row("PyG, list", "pyg", 1, 400.0, 900.0, None, None),
        Row("PyG, CSR", "pyg", 5, 400.0, 620.0, 2500.0, 1000.0),
        Row("the op", "ours op", 5, 30.0, 60.0),
        Row("floor", "floor", 5, 20.0, 45.0),
    ],
    figures=[Figure("times faster than eager PyG", 6.2, 5, 8, "must")],
    missing=[Missing("DGL", "not importable: DGL is not installed")],
)


def test_text() -> None:
    lines = as_text(TABLE).splitlines()
    assert lines[:2] == ["gat 8x8, 2 thread(s)", "a graph, largest in-degree 9"]
    assert lines[2].split("  ")[0] == "contender"
    assert "M edges/s" not in lines[2]  # no row has it
    assert lines[3].split() == ["graphattn", "5", "40", "100", "1", "250", "90", "1.5e-07"]
    assert lines[4].split() == ["PyG,", "list", "1", "400", "900", "9"]
    assert lines[-2].split()[-4:] == ["6.2", "5", "8", "must"]
    assert lines[-1] == "not measured: DGL: not importable: DGL is not installed"
    end = lines[2].index("ms/ours") + len("ms/ours")
    assert [line[:end][-3:].strip() for line in lines[3:8]] == ["1", "9", "6.2", "0.6", ".45"]


def test_saved_tables_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bench") / "new"
    save_tables([TABLE], folder / "gat.json", {"cpu": processor(), "command": "graphattn bench"})
    assert load_tables(folder) == load_tables(folder / "gat.json") == [TABLE]
    saved = json.loads((folder / "gat.json").read_text())
    assert saved["cpu"]
    assert saved["command"] == "graphattn bench"


def test_what_is_no_table_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("bench")
    with pytest.raises(ValueError, match="no saved rows in"):
        load_tables(folder)
    with pytest.raises(ValueError, match="no saved rows in"):
        load_tables(folder / "gat.json")
    for text in ("{}", "[]", "{", '{"cases": [{"case": "gat"}]}'):
        (folder / "gat.json").write_text(text)
        with pytest.raises(ValueError, match=r"gat.json holds no rows of 'graphattn bench'"):
            load_tables(folder)


def test_speed_table() -> None:
    header, line, row = speed_table([TABLE]).splitlines()
    cells = dict(
        zip(
            (cell.strip() for cell in header.strip("|").split("|")),
            (cell.strip() for cell in row.strip("|").split("|")),
            strict=True,
        )
    )
    assert line.count("|") == header.count("|")
    assert cells == {
        "case": "gat 8x8",
        "threads": "2",
        "ms": "100",
        "peak MB": "250",
        "PyG takes": "6.2 x",
        "peak of peer": "10.0 x",
        "floor/op": "0.75",
    }
