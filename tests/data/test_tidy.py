from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import ToSparseTensor, ToUndirected

from graphattn.data import _tidy, notice_one_way, tidy
from graphattn.models import GAT
from graphattn.train import TrainConfig, fit

NAN = float("nan")


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (torch.tensor([[2], [0]]), [2, 0]),
        (torch.tensor([2, -7], dtype=torch.int32), [2, -1]),
        (torch.tensor([True, False]), [1, 0]),
        (torch.tensor([[1.0], [NAN]]), [1, -1]),
        (torch.tensor([0.0, -1.0], dtype=torch.float64), [0, -1]),
        (np.array([1, 0], dtype=np.uint8), [1, 0]),
    ],
)
def test_labels_become_numbers_of_classes(y: Any, expected: list[int]) -> None:
    found = tidy(Data(y=y)).y
    assert found.tolist() == expected
    assert found.dtype == torch.int64


@pytest.mark.parametrize(
    "y",
    [
        torch.tensor([0.5, 1.0]),
        torch.ones(2, 3),
        torch.tensor([float("inf"), 0.0]),
        torch.eye(2).long(),
    ],
)
def test_what_may_mean_something_else_stays(y: Tensor) -> None:
    assert tidy(Data(y=y)).y is y


def test_nodes_without_a_label_leave_the_masks() -> None:
    y = torch.tensor([0, -1, 1])
    one = tidy(Data(y=y, train_mask=torch.ones(3, dtype=torch.uint8)))
    assert one.train_mask.tolist() == [True, False, True]
    two = tidy(Data(y=y.view(-1, 1), train_mask=torch.ones(3, 2, dtype=torch.bool)))
    assert two.train_mask.tolist() == [[True] * 2, [False] * 2, [True] * 2]
    several = torch.tensor([[NAN, NAN], [NAN, 1.0], [0.0, 1.0]])
    data = tidy(Data(y=several, test_mask=np.ones((3, 1), dtype=bool)))
    assert data.test_mask.tolist() == [False, True, True]


def test_masks_that_are_none_stay() -> None:
    nodes = torch.tensor([3, 4])
    assert tidy(Data(train_mask=nodes)).train_mask is nodes


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (np.eye(2), torch.float32),
        (np.eye(2, dtype=np.float16), torch.float16),
        (np.eye(2, dtype=np.int64), torch.float32),
        (torch.eye(2).bool(), torch.float32),
        (torch.eye(2).double(), torch.float64),
    ],
)
def test_features_become_floats(x: Any, dtype: torch.dtype) -> None:
    found = tidy(Data(x=x)).x
    assert found.dtype == dtype
    assert torch.equal(found.double(), torch.eye(2).double())


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo])
def test_transposed_adjacency(layout: torch.layout) -> None:
    edges = torch.tensor([[0, 1, 2], [1, 2, 1]])
    data = Data(x=torch.eye(3), edge_index=edges, edge_weight=torch.tensor([1.0, 2.0, 3.0]))
    given = ToSparseTensor(attr="edge_weight", layout=layout)(data.clone())
    assert "edge_index" not in given
    found = tidy(given)
    order = (edges[1] * 3 + edges[0]).argsort()
    assert torch.equal(found.edge_index, edges[:, order])
    assert torch.equal(found.edge_weight, data.edge_weight[order])
    assert "adj_t" not in found
    assert "adj_t" in given
    plain = tidy(ToSparseTensor(layout=layout)(Data(x=torch.eye(3), edge_index=edges)))
    assert "edge_weight" not in plain


def test_a_good_graph_is_not_copied() -> None:
    data = Data(x=torch.eye(2), y=torch.arange(2), train_mask=torch.ones(2, dtype=torch.bool))
    found = tidy(data)
    assert found is not data
    assert all(found[name] is data[name] for name in ("x", "y", "train_mask"))


def test_what_is_no_graph_is_passed_on() -> None:
    hetero = HeteroData()
    assert tidy(hetero) is hetero  # type: ignore[arg-type, comparison-overlap]


RING = torch.stack([torch.arange(5), (torch.arange(5) + 1) % 5])
LOOPS = torch.arange(5).expand(2, 5)


@pytest.mark.parametrize(
    ("edges", "noticed"),
    [
        (RING, True),
        (torch.cat([RING, LOOPS], dim=1), True),
        (torch.cat([RING, RING[:, 2:3].flip(0)], dim=1), False),
        (ToUndirected()(Data(edge_index=RING, num_nodes=5)).edge_index, False),
        (LOOPS, False),
        (RING[:, :0], False),
        (torch.eye(5).to_sparse_csr(), False),
        (RING.int(), True),
    ],
)
def test_one_line_about_edges_stored_once(
    edges: Tensor, noticed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="graphattn"):
        notice_one_way(Data(x=torch.eye(5), edge_index=edges))
    assert len(caplog.messages) == int(noticed)
    assert all("ToUndirected" in message for message in caplog.messages)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_the_reverse_may_be_far_away(
    chunk: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tidy, "_CHUNK", chunk)
    monkeypatch.setattr(_tidy, "_LOOKED_AT", 2)
    far = torch.tensor([[2], [1]])
    with caplog.at_level(logging.INFO, logger="graphattn"):
        notice_one_way(Data(edge_index=torch.cat([RING, far], dim=1), num_nodes=5))
        assert not caplog.messages
        notice_one_way(Data(edge_index=RING, num_nodes=5))
        assert len(caplog.messages) == 1


def test_any_such_graph_is_trained_on() -> None:
    """What users bring, through `fit` as it is."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    x = y[:, None] + 0.1 * torch.randn(40, 3, generator=generator)
    edges = torch.stack([torch.arange(40), (torch.arange(40) + 2) % 40])
    labels = y.float().view(-1, 1)
    labels[5] = NAN
    part = torch.arange(40) // 2 % 4
    data = Data(
        x=x.double().numpy(),
        edge_index=edges,
        y=labels,
        train_mask=(part < 2).numpy().astype(np.uint8),
        val_mask=part == 2,
        test_mask=(part == 3).view(-1, 1),
    )
    sparse = ToSparseTensor(layout=torch.sparse_csr)(tidy(data))
    config = TrainConfig(max_epochs=30, lr=0.05)
    for given in (data, sparse):
        torch.manual_seed(0)
        report = fit(GAT(3, 4, 2, 2), given, config, progress=False)
        assert report.test_metric == 1.0
    several = data.clone()
    for name in ("train_mask", "val_mask", "test_mask"):
        several[name] = torch.as_tensor(several[name]).bool().view(-1, 1).repeat(1, 3)
    with pytest.raises(ValueError, match="select_split"):
        fit(GAT(3, 4, 2, 2), several, config, progress=False)
