from __future__ import annotations

import pytest
import torch

from graphattn.bench import Contender, Missing
from graphattn.bench.floor import floor, gather_sum
from graphattn.bench.graphs import CORA_SIZED
from graphattn.ops import _native, build_csr

native = pytest.mark.skipif(_native.why_missing() is not None, reason="no native library")


def expected(x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x).index_add_(0, edges[1], x[edges[0]])


@native
@pytest.mark.parametrize("width", [16, 48, 64, 128, 208])
def test_gather_sum(width: int) -> None:
    edges, n = CORA_SIZED.edge_index(), CORA_SIZED.num_nodes
    csr = build_csr(edges.int(), num_src=n, num_dst=n)
    x = torch.randn(n, width)
    torch.testing.assert_close(gather_sum(csr.rowptr, csr.col, x), expected(x, edges))


@native
def test_floor_gathers_both_ways() -> None:
    edges = torch.tensor([[0, 0, 1], [1, 2, 2]])
    contender = floor(edges, 3, 16)
    assert isinstance(contender, Contender)
    assert contender.backward is not None
    out = contender.forward()
    torch.testing.assert_close(contender.backward(out), expected(out, edges.flip(0)))


def test_floor_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "why_missing", lambda: "not built")
    missing = floor(torch.tensor([[0], [1]]), 2, 16)
    assert isinstance(missing, Missing)
    assert missing.reason == "native library not built"


@pytest.mark.parametrize(
    ("ptr", "index", "x", "error"),
    [
        ([0, 1], [1], torch.ones(1, 16), "'ptr' and 'index' do not belong"),
        ([0, 1], [-1], torch.ones(1, 16), "'ptr' and 'index' do not belong"),
        ([0, 2], [0], torch.ones(1, 16), "'ptr' and 'index' do not belong"),
        ([0, 1], [0], torch.ones(1, 8), "'x' must have a multiple of 16 columns"),
        ([0, 1], [0], torch.ones(1, 16).double(), "'x' must be contiguous torch.float32"),
    ],
)
def test_bad_input(ptr: list[int], index: list[int], x: torch.Tensor, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        gather_sum(torch.tensor(ptr).int(), torch.tensor(index).int(), x)
