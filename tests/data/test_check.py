from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphattn.data import card, check_card, check_data, check_files, load
from graphattn.data._card import Card, Split, Statistics

NAN, INF = float("nan"), float("inf")


def good(splits: int | None = None) -> Data:
    """Twelve nodes in a ring, three classes, and masks that share nothing."""
    nodes = torch.arange(12)
    edges = torch.stack([nodes, (nodes + 1) % 12])
    part = nodes % 4 if splits is None else (nodes[:, None] + torch.arange(splits)) % 4
    return Data(
        x=torch.eye(12),
        edge_index=torch.cat([edges, edges.flip(0)], dim=1),
        y=nodes % 3,
        train_mask=part < 2,
        val_mask=part == 2,
        test_mask=part == 3,
        num_classes=3,
    )


def changed(**values: Any) -> Data:
    data = good()
    for name, value in values.items():
        data[name] = value
    return data


def edges_with(value: int) -> torch.Tensor:
    edge_index = good().edge_index
    edge_index[1, 3] = value
    return edge_index


def x_with(value: float) -> torch.Tensor:
    x = torch.eye(12)
    x[4, 4] = value
    return x


def mask_of(*nodes: int) -> torch.Tensor:
    mask = torch.zeros(12, dtype=torch.bool)
    mask[list(nodes)] = True
    return mask


def labels_with(node: int, value: int) -> torch.Tensor:
    y = torch.arange(12) % 3
    y[node] = value
    return y


@pytest.mark.parametrize(
    "data",
    [
        good(),
        good(splits=4),
        changed(edge_index=torch.zeros(2, 0, dtype=torch.long)),
        changed(edge_index=good().edge_index.int()),
        changed(edge_index=torch.eye(12).to_sparse_csr()),
        changed(x=torch.eye(12).to_sparse_csr()),
        changed(x=torch.eye(12).to_sparse()),
        changed(x=torch.eye(12).half()),
        changed(y=torch.ones(12, 5), num_classes=5),
        changed(y=torch.tensor([[1.0, NAN]] * 12), num_classes=2),
        changed(num_classes=None),
        changed(y=labels_with(0, -1), train_mask=mask_of(1, 4)),
        changed(y=labels_with(0, 99), train_mask=mask_of(1, 4)),
    ],
    ids=range(13),
)
def test_good_graphs_pass(data: Data) -> None:
    check_data(data)


VALUES = [
    ({"x": None}, "'x' is missing from 'data'"),
    ({"edge_index": None}, "'edge_index' is missing"),
    ({"y": None}, "'y' is missing"),
    ({"val_mask": None}, "'val_mask' is missing"),
    ({"x": torch.ones(12)}, r"'x' must have shape \[N, F\], got \[12\]"),
    ({"x": x_with(NAN)}, r"'x' must be finite, got nan \(1 such value"),
    ({"x": x_with(-INF)}, r"'x' must be finite, got -inf"),
    ({"x": x_with(NAN).to_sparse_csr()}, r"'x' must be finite, got nan"),
    ({"x": x_with(INF).to_sparse()}, r"'x' must be finite, got inf"),
    ({"edge_index": edges_with(12)}, r"'edge_index' must lie in \[0, 12\) .* got 12"),
    ({"edge_index": edges_with(-3)}, r"'edge_index' must lie in \[0, 12\) .* got -3"),
    ({"edge_index": good().edge_index.T}, r"'edge_index' must have shape \[2, E\], got \[24, 2\]"),
    ({"edge_index": torch.arange(4)}, r"'edge_index' must have shape \[2, E\], got \[4\]"),
    ({"edge_index": torch.eye(9).to_sparse_csr()}, r"shape \[12, 12\], got \[9, 9\]"),
    ({"train_mask": mask_of(1)[:9]}, r"'train_mask' must have shape \[12\] .* got \[9\]"),
    ({"test_mask": mask_of(1)[:, None]}, r"'test_mask' must have the shape of 'train_mask'"),
    ({"val_mask": mask_of()}, "'val_mask' is empty, expected at least one node"),
    (
        {"val_mask": mask_of(0, 4, 6)},
        r"'train_mask' and 'val_mask' overlap in 2 node\(s\), the first is node 0; expected none",
    ),
    ({"test_mask": mask_of(2)}, "'val_mask' and 'test_mask' overlap in 1"),
    ({"y": labels_with(5, 3)}, r"'y' must lie in \[0, 3\) inside the masks, got 3 at node 5"),
    ({"y": labels_with(5, -1)}, r"'y' must lie in \[0, 3\) inside the masks, got -1 at node 5"),
    ({"y": labels_with(5, -1), "num_classes": None}, "number of classes.* got -1 at node 5"),
    ({"y": torch.arange(9)}, r"'y' must have shape \[12\], got \[9\]"),
    ({"y": torch.zeros(12, 1, dtype=torch.long)}, r"'y' must have shape \[12\], got \[12, 1\]"),
    ({"y": torch.zeros(12)}, r"'y' must have shape \[12, T\] when it has dtype torch.float32"),
    ({"y": torch.full((12, 2), NAN)}, r"'y' must lie in \[0, 1\] inside the masks, got nan"),
    ({"y": torch.tensor([[NAN, 2.0]] * 12)}, r"'y' must lie in \[0, 1\] inside the masks, got 2.0"),
    ({"y": torch.eye(12).long()}, r"got \[12, 12\]; for several labels .* y.argmax\(dim=1\)"),
    ({"edge_index": None, "adj_t": torch.eye(12)}, "'edge_index' is missing .*there is 'adj_t'"),
    (
        {"train_mask": None, "val_mask": None, "test_mask": None},
        r"'train_mask' is missing .* draw one with graphattn.data.random_split\(data, '60/20/20'",
    ),
    ({"y": torch.full((12, 2), 2.0)}, r"'y' must lie in \[0, 1\] inside the masks, got 2.0"),
]


@pytest.mark.parametrize(("values", "message"), VALUES, ids=[message for _, message in VALUES])
def test_bad_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_data(changed(**values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"x": np.eye(12)},
            "'x' must be a torch.Tensor, got numpy.ndarray; graphattn.data.tidy converts it",
        ),
        ({"y": [0] * 12}, "'y' must be a torch.Tensor, got builtins.list$"),
        ({"x": torch.eye(12).long()}, "'x' must have a floating dtype, got torch.int64"),
        (
            {"edge_index": good().edge_index.float()},
            "'edge_index' must have an integer dtype, got torch.float32",
        ),
        ({"val_mask": mask_of(1).long()}, "'val_mask' must have dtype torch.bool, got torch.int64"),
        ({"y": mask_of(1)}, "'y' must have an integer or floating dtype, got torch.bool"),
    ],
)
def test_bad_types(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_data(changed(**values))


def test_data_must_be_data() -> None:
    with pytest.raises(TypeError, match=r"'data' must be a torch_geometric.data.Data, got dict"):
        check_data({})  # type: ignore[arg-type]


def test_one_of_several_splits_must_be_chosen() -> None:
    check_data(good(), one_split=True)
    with pytest.raises(ValueError, match=r"of one split \[N\], got \[12, 4\]; .*select_split"):
        check_data(good(splits=4), one_split=True)


def test_problem_of_one_split_names_it() -> None:
    data = good(splits=3)
    data.test_mask[:, 2] = False
    with pytest.raises(ValueError, match="'test_mask' of split 2 is empty"):
        check_data(data)
    data = good(splits=3)
    data.val_mask[7, 1] = True
    with pytest.raises(ValueError, match=r"'val_mask' overlap .* node 7 of split 1"):
        check_data(data)


def ring_card(**statistics: Any) -> Card:
    expected = {"nodes": 12, "edges": 24, "features": 12, "classes": 3, **statistics}
    return replace(
        card("digits"),
        name="ring",
        statistics=Statistics(**expected),
        splits={"fixed": Split(sizes=(6, 3, 3))},
    )


def test_card_that_is_kept() -> None:
    check_card(good(), ring_card(undirected=True, self_loops=0))


def test_all_differences_are_in_one_message() -> None:
    expected = ring_card(nodes=13, edges=23, features=11, classes=4, undirected=False, self_loops=2)
    expected = replace(expected, splits={"fixed": Split(sizes=(5, 3, 4), count=2)})
    with pytest.raises(ValueError, match="data set 'ring' is not what its card says") as caught:
        check_card(good(), expected)
    assert str(caught.value).splitlines()[1:] == [
        "  nodes: expected 13, got 12",
        "  edges: expected 23, got 24",
        "  features: expected 11, got 12",
        "  classes: expected 4, got 3",
        "  undirected: expected False, got True",
        "  self_loops: expected 2, got 0",
        "  splits: expected 2, got 1",
        "  train_mask (first split): expected 5 nodes, got 6",
        "  test_mask (first split): expected 4 nodes, got 3",
    ]


def test_card_reports_problems_and_counts_together() -> None:
    data = changed(edge_index=edges_with(40), y=labels_with(5, 7))
    with pytest.raises(ValueError, match="not what its card says") as caught:
        check_card(data, ring_card(undirected=True, nodes=10))
    text = str(caught.value)
    assert "'edge_index' must lie in [0, 12)" in text
    assert "'y' must lie in [0, 3)" in text
    assert "nodes: expected 10, got 12" in text
    assert "classes: expected 3, got 8" in text


def test_another_form_of_the_set_is_as_good() -> None:
    expected = replace(
        ring_card(nodes=13, edges=1), alternatives=(Statistics(12, 24, 12, 3, undirected=True),)
    )
    check_card(good(), expected)
    with pytest.raises(ValueError, match=r"says:\n  features: expected 12, got 5$"):
        check_card(changed(x=torch.ones(12, 5)), expected)


def test_files_are_compared_when_asked(write_card: Callable[..., None], ring: Path, raw: str):
    check_files(card("ring"), root=ring)
    load("ring", root=ring)
    (ring / raw / "out1_graph_edges.txt").write_text("other")
    with pytest.raises(ValueError, match=r"out1_graph_edges.txt \(5 bytes\): sha256 d9298a10"):
        check_files(card("ring"), root=ring)
    (ring / raw / "out1_graph_edges.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"put these files there: .*out1_graph_edges.txt"):
        check_files(card("ring"), root=ring)


def test_edge_features() -> None:
    data = Data(
        x=torch.ones(3, 1),
        y=torch.tensor([0, 1, 0]),
        edge_index=torch.tensor([[0, 1], [1, 2]]),
        train_mask=torch.tensor([True, False, False]),
        val_mask=torch.tensor([False, True, False]),
        test_mask=torch.tensor([False, False, True]),
        edge_attr=torch.ones(2, 4),
    )
    check_data(data)
    data.edge_attr[1, 2] = torch.nan
    with pytest.raises(ValueError, match="'edge_attr' must be finite, got nan"):
        check_data(data)
    data.edge_attr = torch.ones(3, 4)
    with pytest.raises(ValueError, match=r"'edge_attr' must have a row per edge \(2\), got 3"):
        check_data(data)
