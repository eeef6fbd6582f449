"""What a new layer has to say, and what it gets for that."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric.nn import SimpleConv

from graphattn.bench.memory import memory_of_step
from graphattn.nn import AttentionConv, GATConv
from graphattn.nn.conv.attention_conv import MapByHead, Operands
from graphattn.nn.linear import apply_map
from graphattn.ops import GATScore, Score, _native


class MeanConv(AttentionConv):
    """Equal attention to all neighbours, without parameters."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        options = {
            "heads": 1,
            "concat": True,
            "dropout": 0.0,
            "add_self_loops": True,
            "edge_dim": None,
            "fill_value": "mean",
            "bias": False,
            "residual": False,
        }
        super().__init__(in_channels, out_channels, **(options | kwargs))

    def operands(
        self, x_src: Tensor, x_dst: Tensor | None, edge_attr: Tensor | None, num_dst: int
    ) -> tuple[Tensor, Score]:
        zeros = x_src.new_zeros
        return x_src.unsqueeze(1), GATScore(zeros(len(x_src), 1), zeros(num_dst, 1))


EDGES = torch.tensor([[0, 1, 2, 3, 1], [1, 2, 0, 0, 1]])


def test_equals_pyg_s_mean() -> None:
    x = torch.randn(4, 3)
    peer = SimpleConv(aggr="mean")
    conv = MeanConv(3, 3, add_self_loops=False)
    torch.testing.assert_close(conv(x, EDGES), peer(x, EDGES))
    out, (edges, alpha) = conv(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close(out, conv(x, EDGES))
    assert torch.equal(edges, EDGES)
    assert alpha.flatten().tolist() == [0.5, 1.0, 0.5, 0.5, 0.5]


def test_another_aggregation_goes_through_messages() -> None:
    x = torch.randn(4, 3)
    largest = MeanConv(3, 3, add_self_loops=False, aggr="max")(x, EDGES)
    torch.testing.assert_close(largest[0], torch.maximum(x[2], x[3]) / 2)


def test_all_kinds_of_hooks_are_called_once() -> None:
    conv, calls = MeanConv(3, 3), []
    handles = [
        getattr(conv, f"register_{name}_forward_{kind}")(lambda *_, name=name: calls.append(name))
        for name in ("propagate", "message", "aggregate")
        for kind in ("pre_hook", "hook")
    ]
    conv(torch.randn(4, 3), EDGES)
    assert sorted(calls) == sorted(["propagate", "message", "aggregate"] * 2)
    for handle in handles:
        handle.remove()
    conv(torch.randn(4, 3), EDGES)
    assert len(calls) == 6


@dataclass(frozen=True, eq=False)
class DistanceScore(Score):
    """Nearer is more; a score of somebody else, without a kernel."""

    src: Tensor
    dst: Tensor
    layout: ClassVar = {"src": "src H C", "dst": "dst H C"}

    def of_edges(self, src: Tensor, dst: Tensor) -> Tensor:
        return -(src - dst).square().sum(dim=-1)


class DistanceConv(AttentionConv):
    """All that a layer with a score of its own has to say."""

    def __init__(self, in_channels: int, out_channels: int, heads: int = 1, **kwargs: Any) -> None:
        options = {
            "concat": True,
            "dropout": 0.0,
            "add_self_loops": True,
            "edge_dim": None,
            "fill_value": "mean",
            "bias": True,
            "residual": False,
        }
        super().__init__(in_channels, out_channels, heads=heads, **(options | kwargs))
        self.lin = self._linear(in_channels, heads * out_channels)
        self.reset_parameters()

    def operands(
        self,
        x_src: Tensor,
        x_dst: Tensor | None,
        edge_attr: Tensor | None,
        num_dst: int,
        project: MapByHead = apply_map,
    ) -> Operands:
        (values,) = project(self.lin, x_src, self.heads)
        return Operands(values, DistanceScore(values, values))


def test_a_score_of_one_s_own_gets_everything() -> None:
    torch.manual_seed(0)
    conv, x = DistanceConv(3, 5, heads=2).double(), torch.randn(4, 3, dtype=torch.float64)
    out, (edges, alpha) = conv(x, EDGES, return_attention_weights=True)
    values = conv.lin(x).view(4, 2, 5)
    score = -(values[edges[0]] - values[edges[1]]).square().sum(dim=-1)
    expected = torch.stack(
        [score[edges[1] == i].softmax(dim=0)[k] for k, i in _places_in_rows(edges[1])]
    )
    torch.testing.assert_close(alpha, expected)
    summed = (
        torch.zeros(4, 2, 5).double().index_add(0, edges[1], alpha[..., None] * values[edges[0]])
    )
    torch.testing.assert_close(out, summed.flatten(1))
    leaf = x.clone().requires_grad_()
    assert gradcheck(lambda x: conv(x, EDGES), leaf)
    assert gradgradcheck(lambda x: conv(x, EDGES), leaf, atol=1e-4)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, EDGES), out)
    hooked = DistanceConv(3, 5, heads=2, dropout=0.5).double()
    torch.manual_seed(1)
    fused = hooked(x, EDGES)
    hooked.register_message_forward_hook(lambda *_: None)
    torch.manual_seed(1)
    torch.testing.assert_close(hooked(x, EDGES), fused)


def _places_in_rows(dst: Tensor) -> list[tuple[int, int]]:
    """Place of every edge among those of its destination, and the destination."""
    seen: Counter[int] = Counter()
    places = []
    for i in dst.tolist():
        places.append((seen[i], i))
        seen[i] += 1
    return places


def test_weights_of_attention_cost_little_memory() -> None:
    if (missing := _native.why_missing()) is not None:
        pytest.skip(f"the native library is {missing}")
    nodes, count = 20_000, 400_000
    edges = torch.randint(nodes, (2, count), generator=torch.Generator().manual_seed(0))
    conv, x = GATConv(32, 16, heads=8), torch.randn(nodes, 32)

    def call(weights: bool) -> Any:
        return conv(x, edges, return_attention_weights=weights)

    used = []
    for weights in (False, True):
        call(weights)  # sorts the edges, and finds its loops
        usage = memory_of_step(partial(call, weights), None)
        if usage is None:
            pytest.skip("this system does not tell")
        used.append(usage.peak)
    assert used[1] - used[0] < 60
