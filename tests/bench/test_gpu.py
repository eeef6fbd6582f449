from __future__ import annotations

import pytest
import torch

from graphattn.bench import GROUPS, Row, Settings
from graphattn.bench.gpu import PRODUCTS, cold_bytes, cold_rate


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("case", GROUPS["gpu"], ids=lambda case: case.name)
def test_says_that_there_is_no_device(case: object) -> None:
    with pytest.raises(NotImplementedError, match="not measured: no CUDA device"):
        case.lineup(Settings())


def test_bytes_without_a_cache() -> None:
    # One node with a loop, one head of one channel: rows of 4 bytes.
    forward = (4 + 4 + 4) + (4 + 4 + 4 + 4)
    backward = (4 + 12 + 8) + 8 + (16 + 24)
    assert cold_bytes(1, 1, 1, 1, 4) == forward + backward


def test_rate_is_that_of_the_whole_graph() -> None:
    total = cold_bytes(PRODUCTS.num_nodes, PRODUCTS.num_edges, 8, 8, 2)
    row = Row("ours", "ours bf16", 1, 1.0, 2.0, million_edges_per_s=PRODUCTS.num_edges / 1e6)
    rate = cold_rate("ours bf16", torch.bfloat16).value
    assert rate({"ours bf16": row}) == pytest.approx(total / 1e9)
    assert rate({}) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", GROUPS["gpu"], ids=lambda case: case.name)
def test_runs_on_a_device(case: object) -> None:
    lineup = case.lineup(Settings(scale=0.01))
    for contender in lineup.contenders[:1]:
        contender.backward(contender.forward())
        assert contender.memory().peak > 0
