from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from graphattn.ops import DotScore, append_self_loops, attend, attention_weights


def dot_attention(
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None = None,
    edge_score: Tensor | None = None,
    scale: float | None = None,
    **options: Any,
) -> Tensor:
    score = DotScore(query, key, edge_x, edge_score, scale)
    return attention_weights(score, edge_index, **options)


def dot_attend(
    value: Tensor,
    query: Tensor,
    key: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None = None,
    edge_score: Tensor | None = None,
    scale: float | None = None,
    **options: Any,
) -> Tensor:
    score = DotScore(query, key, edge_x, edge_score, scale)
    out: Tensor = attend(value, score, edge_index, **options)
    return out


pytestmark = pytest.mark.usefixtures("implementation")


def operands(graph: Any) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    sizes = (graph.num_src, graph.num_dst, graph.num_src)
    value, query, key = (torch.randn(n, 2, 4, dtype=torch.float64) for n in sizes)
    return value, query, key


def test_equals_torch_s_attention_under_a_mask(graph: Any) -> None:
    edges = torch.unique(graph.edge_index, dim=1)
    value, query, key = operands(graph)
    out = dot_attend(value, query, key, edges)
    mask = torch.zeros(graph.num_dst, graph.num_src, dtype=torch.bool)
    mask[edges[1], edges[0]] = True
    expected = scaled_dot_product_attention(
        *(t.transpose(0, 1) for t in (query, key, value)), attn_mask=mask
    ).transpose(0, 1)
    reached = mask.any(dim=1)
    torch.testing.assert_close(out[reached], expected[reached])
    assert (out[~reached] == 0).all()


def test_equals_an_edge_by_edge_computation(graph: Any) -> None:
    value, query, key = operands(graph)
    loops = min(graph.num_src, graph.num_dst)
    appended, counted = append_self_loops(graph.edge_index, loops)
    edge_x = torch.randn(appended.size(1), 2, 4, dtype=torch.float64)
    edge_score = torch.randn(appended.size(1), 2, dtype=torch.float64)
    given = {"edge_x": edge_x, "edge_score": edge_score, "num_self_loops": loops, "scale": 0.7}
    alpha = dot_attention(query, key, graph.edge_index, **given)
    weight, total = torch.zeros_like(alpha), torch.zeros(graph.num_dst, 2, dtype=torch.float64)
    for e, (j, i) in enumerate(appended.t().tolist()):
        if counted[e]:
            score = 0.7 * (query[i] * (key[j] + edge_x[e])).sum(dim=-1) + edge_score[e]
            weight[e] = score.exp()
            total[i] += weight[e]
    expected = torch.zeros(graph.num_dst, 2, 4, dtype=torch.float64)
    for e, (j, i) in enumerate(appended.t().tolist()):
        weight[e] /= total[i]
        expected[i] += weight[e, :, None] * (value[j] + edge_x[e])
    torch.testing.assert_close(alpha, weight)
    out = dot_attend(value, query, key, graph.edge_index, **given)
    torch.testing.assert_close(out, expected)


def test_bad_input(graph: Any) -> None:
    value, query, key = operands(graph)
    with pytest.raises(ValueError, match=r"'key' must have shape \[\d+, 2, 3\], got \[\d+, 2, 4\]"):
        dot_attend(value, query[..., :3], key, graph.edge_index)
    with pytest.raises(ValueError, match="'values' must have shape"):
        dot_attend(value[..., 0], query, key, graph.edge_index)
    with pytest.raises(ValueError, match="'edge_score' must have shape"):
        dot_attention(query, key, graph.edge_index, edge_score=torch.zeros(99, 2))
    with pytest.raises(ValueError, match=r"'edge_index\[0\]' must lie in"):
        dot_attend(value, query, key, torch.tensor([[graph.num_src], [0]]))
