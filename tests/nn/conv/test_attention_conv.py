"""What a new layer has to say, and what it gets for that."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import SimpleConv

from graphattn.nn import AttentionConv
from graphattn.ops import GATScore, Score


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
