from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import leaky_relu
from torch_geometric.utils import softmax

from graphattn.ops import GATv2Score, append_self_loops, attend, attention_weights

pytestmark = pytest.mark.usefixtures("implementation")


def gatv2_attention(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None = None,
    negative_slope: float = 0.2,
    **options: Any,
) -> Tensor:
    score = GATv2Score(x_src, x_dst, att, edge_x, negative_slope)
    return attention_weights(score, edge_index, **options)


def gatv2_attend(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None = None,
    negative_slope: float = 0.2,
    **options: Any,
) -> Tensor:
    score = GATv2Score(x_src, x_dst, att, edge_x, negative_slope)
    out: Tensor = attend(x_src, score, edge_index, **options)
    return out


def operands(graph: Any, loops: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    rows = graph.edge_index.size(1) + loops
    return {
        "x_src": torch.randn(graph.num_src, 2, 3, dtype=torch.float64),
        "x_dst": torch.randn(graph.num_dst, 2, 3, dtype=torch.float64),
        "att": torch.randn(2, 3, dtype=torch.float64),
        "edge_x": torch.randn(rows, 2, 3, dtype=torch.float64),
    }


@pytest.mark.parametrize("with_loops", [False, True])
def test_equals_pyg_s_softmax_of_the_scores(graph: Any, with_loops: bool) -> None:
    loops = min(graph.num_src, graph.num_dst) if with_loops else 0
    given = operands(graph, loops)
    appended, counted = append_self_loops(graph.edge_index, loops)
    src, dst = appended[:, counted]
    pair = given["x_src"][src] + given["x_dst"][dst] + given["edge_x"][counted]
    score = torch.einsum("ehc,hc->eh", leaky_relu(pair, 0.3), given["att"])
    expected = softmax(score, dst, num_nodes=graph.num_dst)
    options = {"edge_index": graph.edge_index, "num_self_loops": loops, "negative_slope": 0.3}
    alpha = gatv2_attention(**given, **options)
    torch.testing.assert_close(alpha[counted], expected, rtol=0, atol=1e-14)
    assert (alpha[~counted] == 0).all()
    slow = given["x_src"].new_zeros(graph.num_dst, 2, 3)
    for j, i, a in zip(src.tolist(), dst.tolist(), expected, strict=True):
        slow[i] += a[:, None] * given["x_src"][j]
    torch.testing.assert_close(gatv2_attend(**given, **options), slow, rtol=0, atol=1e-13)


def test_gradients(graph: Any) -> None:
    loops = min(graph.num_src, graph.num_dst)
    given = [t.requires_grad_() for t in operands(graph, loops).values()]

    def run(left: Tensor, right: Tensor, att: Tensor, edge_x: Tensor) -> Tensor:
        return gatv2_attend(left, right, att, graph.edge_index, edge_x=edge_x, num_self_loops=loops)

    assert gradcheck(run, given)


def test_dropout_drops_whole_coefficients() -> None:
    torch.manual_seed(0)
    edges = torch.stack([torch.arange(50), torch.arange(50)])
    x = torch.ones(50, 1, 4)
    out = gatv2_attend(x, x, torch.ones(1, 4), edges, dropout=0.5)
    assert set(out.unique().tolist()) == {0.0, 2.0}


def test_bad_input(graph: Any) -> None:
    given = operands(graph, 0)
    rows = given["edge_x"][:0] if len(given["edge_x"]) else torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match="'edge_x' must have shape"):
        gatv2_attention(edge_index=graph.edge_index, **(given | {"edge_x": rows}))
    with pytest.raises(ValueError, match=r"'att' must have shape \[2, 3\], got \[1, 2, 3\]"):
        gatv2_attention(**(given | {"att": given["att"][None]}), edge_index=graph.edge_index)
    with pytest.raises(ValueError, match="'dst' must have shape"):
        gatv2_attend(**(given | {"x_dst": given["x_dst"][..., :1]}), edge_index=graph.edge_index)
