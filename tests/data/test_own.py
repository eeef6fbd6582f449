from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import FakeDataset

from graphattn.data import check_data, load, read_graph

NODES = """id,label,split,weight,height
ann,dog,train,1,0.5
bob,cat,train,2,-1e3
"c, d",,val,3,0
7,cat,val,4,.5
eve,dog,test,5,2
"""
EDGES = "source,target\nann,bob\nbob,ann\neve,7\n7,ann\nann,ann\n"
MASKS = ("train_mask", "val_mask", "test_mask")


def write(folder: Path, nodes: str = NODES, edges: str = EDGES) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "nodes.csv").write_bytes(nodes.encode())
    (folder / "edges.csv").write_bytes(edges.encode())
    return folder


def test_csv(tmp_path: Path) -> None:
    data = read_graph(write(tmp_path))
    assert data.x.tolist() == [[1, 0.5], [2, -1000], [3, 0], [4, 0.5], [5, 2]]
    assert data.x.dtype == torch.float32
    assert data.edge_index.tolist() == [[0, 1, 4, 3, 0], [1, 0, 3, 0, 0]]
    assert data.y.tolist() == [1, 0, -1, 0, 1]
    assert (data.class_names, data.num_classes) == (["cat", "dog"], 2)
    # The third node has no label and is in no part.
    assert [data[name].nonzero().view(-1).tolist() for name in MASKS] == [[0, 1], [3], [4]]
    assert "edge_attr" not in data
    check_data(data)


def test_features_of_edges(tmp_path: Path) -> None:
    edges = "weight,source,target,kind\n0.5,ann,bob,1\n2,bob,eve,0\n"
    data = read_graph(write(tmp_path, edges=edges))
    assert data.edge_attr.tolist() == [[0.5, 1], [2, 0]]


def test_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    nodes = "id,label,f\n1,10,0\n2,9,0\n3,-1,0\n4,nan,0\n5,10,0\n"
    data = read_graph(write(tmp_path, nodes, "source,target\n1,5\n"))
    assert (data.class_names, data.y.tolist()) == (["9", "10"], [1, 0, -1, -1, 1])


def test_several_splits(tmp_path: Path) -> None:
    nodes = (
        "id,split_0,label,split_1,f\n1,train,0,test,1\n2,val,1,train,1\n3,test,0,valid,1\n4,,1,,1\n"
    )
    data = read_graph(write(tmp_path, nodes, "source,target\n1,2\n"))
    assert data.train_mask.tolist() == [[True, False], [False, True], [False] * 2, [False] * 2]
    assert data.val_mask.shape == data.test_mask.shape == (4, 2)
    check_data(data)


def test_what_spreadsheets_write(tmp_path: Path) -> None:
    """A byte order mark, other line ends, blanks, an empty line at the end, quoted line breaks."""
    nodes = "\ufeff" + NODES.replace("\n", "\r\n").replace(",dog", " , dog ") + "\r\n"
    data = read_graph(write(tmp_path, nodes.replace("eve", '" eve"')))
    assert data.class_names == ["cat", "dog"]
    assert data.num_nodes == 5


def test_without_edges_labels_or_split(tmp_path: Path) -> None:
    data = read_graph(write(tmp_path, "id,f\na,1\nb,2\n", "source,target\n"))
    assert data.edge_index.shape == (2, 0)
    assert data.edge_index.dtype == torch.int64
    assert "y" not in data
    with pytest.raises(ValueError, match=f"{tmp_path}.*'y' is missing"):
        load(str(tmp_path))


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


BAD = {
    "feature is a word": (
        swap(NODES, "2,-1e3", "2,tall"),
        EDGES,
        r"nodes.csv, line 3, column 'height': got 'tall', expected a finite number",
    ),
    "feature is missing": (
        swap(NODES, "ann,dog,train,1", "ann,dog,train,"),
        EDGES,
        r"nodes.csv, line 2, column 'weight': got '', expected a finite number",
    ),
    "feature is infinite": (
        swap(NODES, "4,.5", "inf,.5"),
        EDGES,
        r"nodes.csv, line 5, column 'weight': got 'inf'",
    ),
    "feature is nan": (swap(NODES, "4,.5", "nan,.5"), EDGES, r"line 5, column 'weight': got 'nan'"),
    "line breaks before": (
        swap(swap(NODES, "c, d", "c\nd\ne"), "4,.5", "x,.5"),
        EDGES,
        r"nodes.csv, line 7, column 'weight': got 'x'",
    ),
    "empty line before": (
        swap(swap(NODES, "bob,cat", "\nbob,cat"), "4,.5", "x,.5"),
        EDGES,
        r"nodes.csv, line 6, column 'weight': got 'x'",
    ),
    "no name": (
        swap(NODES, "bob,", ","),
        EDGES,
        "line 3, column 'id': got '', a node needs a name",
    ),
    "name twice": (
        swap(NODES, "eve,", "ann,"),
        EDGES,
        "nodes.csv, line 6, column 'id': got 'ann', line 2 has it, too",
    ),
    "unknown part": (
        swap(NODES, ",test,", ",testing,"),
        EDGES,
        "line 6, column 'split': got 'testing', expected train, val, test or nothing",
    ),
    "one class": (swap(NODES, "cat", "dog"), EDGES, r"at least two classes, got \['dog'\]"),
    "plus and minus one": (
        swap(swap(NODES, "cat", "-1"), "dog", "1"),
        EDGES,
        r"at least two classes, got \['1'\] \(nothing, -1 and NaN mean",
    ),
    "negative class": (
        swap(swap(NODES, "cat", "-2"), "dog", "1"),
        EDGES,
        r"line 3, column 'label': got '-2', a class must not be negative",
    ),
    "no features": ("id,label\na,0\nb,1\n", "source,target\n", "no column with a feature"),
    "unknown source": (
        NODES,
        swap(EDGES, "eve,7", "eva,7"),
        "edges.csv, line 4, column 'source': got 'eva', no row of nodes.csv has this id",
    ),
    "no target": (NODES, swap(EDGES, "eve,7", "eve"), "line 4, column 'target': got ''"),
    "no id": (
        swap(NODES, "id,", "name,"),
        EDGES,
        "nodes.csv: there is no column 'id', got name, l",
    ),
    "other separator": (
        NODES.replace(",", ";"),
        EDGES,
        "no column 'id', got id;label;.*columns must be separated by commas",
    ),
    "column twice": (swap(NODES, "height", "weight"), EDGES, "line 1: the column 'weight' must"),
    "too many cells": (NODES, EDGES + "ann,bob,3\n", "edges.csv is no table .*line 7"),
    "too many cells at once": (NODES, "source,target\nann,bob,3\n", "edges.csv is no table"),
    "empty file": ("", EDGES, "nodes.csv is no table"),
    "no text": ("id,f\n\udcff,1\n", EDGES, "nodes.csv is no table in CSV and UTF-8"),
}


@pytest.mark.parametrize(("nodes", "edges", "message"), BAD.values(), ids=list(BAD))
def test_bad_csv(tmp_path: Path, nodes: str, edges: str, message: str) -> None:
    (tmp_path / "nodes.csv").write_bytes(nodes.encode(errors="surrogateescape"))
    (tmp_path / "edges.csv").write_text(edges)
    with pytest.raises(ValueError, match=message):
        read_graph(tmp_path)


def graph() -> Data:
    y = torch.tensor([[0.0], [1.0], [float("nan")], [1.0]])
    return Data(x=np.eye(4), edge_index=torch.tensor([[0, 1], [1, 2]]), y=y)


@pytest.mark.parametrize("form", [lambda data: data, lambda data: data.to_dict()])
def test_pt(tmp_path: Path, form: Any) -> None:
    data = graph()
    data.x = torch.eye(4, dtype=torch.float64)
    torch.save(form(data), tmp_path / "g.pt")
    found = read_graph(tmp_path / "g.pt")
    assert (found.x.dtype, found.num_classes) == (torch.float32, 2)
    assert found.y.tolist() == [0, 1, -1, 1]


def test_pt_of_pyg(tmp_path: Path) -> None:
    torch.save(FakeDataset(num_graphs=1)[0], tmp_path / "g.pt")
    assert read_graph(tmp_path / "g.pt").x.dim() == 2


class Evil:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.place),))


def test_pt_executes_nothing(tmp_path: Path) -> None:
    data = graph()
    data.x = torch.eye(4)
    data.extra = Evil(tmp_path / "executed")
    torch.save(data, tmp_path / "g.pt")
    with pytest.raises(ValueError, match=r"without executing code \(it holds posix.mkdir\); save"):
        read_graph(tmp_path / "g.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.eye(3), "must hold a torch_geometric.data.Data, .* got Tensor"),
        ({1: 2}, "got dict"),
    ],
)
def test_pt_with_something_else(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(ValueError, match=message):
        read_graph(tmp_path / "g.pt")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04half"])
def test_damaged_pt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "g.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"g.pt' is no graph that can be read"):
        read_graph(tmp_path / "g.pt")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_graph(tmp_path / "g.pt")
    with pytest.raises(FileNotFoundError, match=r"no file '.*nodes.csv'"):
        read_graph(tmp_path)
    (tmp_path / "g.txt").touch()
    with pytest.raises(ValueError, match=r"from a .pt file or from a folder .* got '.*g.txt'"):
        read_graph(tmp_path / "g.txt")
