from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric import nn as pyg
from torch_geometric.explain import Explainer, GraphMaskExplainer
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csc_tensor, to_torch_csr_tensor

from graphattn.nn import GATConv


def test_contract(layer_check: Callable[..., None]) -> None:
    layer_check(GATConv, peer=pyg.GATConv)


def test_equals_its_peer(peer_check: Callable[..., None]) -> None:
    peer_check(GATConv, pyg.GATConv)


def test_sources_alone_equal_pyg() -> None:
    x, edges = torch.randn(4, 8), torch.tensor([[0, 1, 2, 3], [0, 0, 1, 4]])
    ours, theirs = GATConv(8, 4, heads=2), pyg.GATConv(8, 4, heads=2)
    ours.load_state_dict(theirs.state_dict())
    expected = theirs((x, None), edges, size=(4, 5))
    torch.testing.assert_close(ours((x, None), edges, size=(4, 5)), expected)
    assert ours((x, None), edges[:, :3]).shape == (4, 8)


def test_value_dropout_leaves_the_scores_alone() -> None:
    torch.manual_seed(0)
    x, edges = torch.randn(50, 8), torch.randint(50, (2, 300))
    conv = GATConv(8, 4, heads=2, value_dropout=0.5, bias=False)
    plain = GATConv(8, 4, heads=2, bias=False)
    plain.load_state_dict(conv.state_dict())
    expected, (_, alpha) = plain(x, edges, return_attention_weights=True)
    out, (_, kept) = conv(x, edges, return_attention_weights=True)
    torch.testing.assert_close(kept, alpha)
    assert not torch.allclose(out, expected)
    mean = torch.stack([conv(x, edges) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.1, rtol=0.1)
    torch.testing.assert_close(conv.eval()(x, edges), expected)
    with pytest.raises(ValueError, match=r"'value_dropout' must lie in \[0, 1\], got -1"):
        GATConv(8, 4, value_dropout=-1)


def test_ranking_of_neighbours_is_the_same_for_all_queries() -> None:
    # GATv2 paper, theorem 1: on a complete bipartite graph GAT's attention is static.
    torch.manual_seed(0)
    edges = torch.cartesian_prod(torch.arange(6), torch.arange(5)).t()
    conv = GATConv((8, 8), 4, heads=3, add_self_loops=False)
    x = (torch.randn(6, 8), torch.randn(5, 8))
    _, (_, alpha) = conv(x, edges, return_attention_weights=True)
    order = alpha.view(6, 5, 3).argsort(dim=0)
    assert (order == order[:, :1]).all()


def test_the_first_step_of_a_lazy_layer_has_the_right_gradients() -> None:
    x, edges = torch.randn(5, 6), torch.tensor([[0, 1, 2, 3], [1, 2, 0, 4]])
    conv = GATConv(-1, 8, heads=2)
    grads = []
    for _ in range(2):
        conv.zero_grad()
        conv(x, edges).square().sum().backward()
        grads.append([parameter.grad.clone() for parameter in conv.parameters()])
    torch.testing.assert_close(*grads)


def test_a_matrix_tells_how_many_destinations_there_are() -> None:
    edges, x = torch.tensor([[0, 1, 3], [0, 1, 4]]), torch.randn(4, 16)
    for residual in (False, True):
        options = {"heads": 2, "residual": residual}
        ours, theirs = GATConv((16, 16), 4, **options), pyg.GATConv((16, 16), 4, **options)
        ours.load_state_dict(theirs.state_dict())
        expected = theirs((x, None), edges, size=(4, 5))
        torch.testing.assert_close(ours((x, None), edges, size=(4, 5)), expected)
        for convert in (to_torch_coo_tensor, to_torch_csr_tensor, to_torch_csc_tensor):
            matrix = convert(edges.flip(0), size=(5, 4))
            torch.testing.assert_close(ours((x, None), matrix), expected)


@pytest.mark.parametrize("heads", [1, 2])
def test_explainers_with_messages_of_their_own(heads: int) -> None:
    torch.manual_seed(0)
    conv, x = GATConv(16, 4, heads=heads), torch.randn(6, 16)
    edges = torch.tensor([[0, 1, 2, 3, 3, 4, 0], [1, 2, 2, 0, 0, 1, 5]])
    explainer = Explainer(
        conv,
        GraphMaskExplainer(1, epochs=2, log=False),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )
    assert explainer(x, edges).edge_mask.shape == (7,)


def test_masks_act_on_messages_as_in_pyg() -> None:
    torch.manual_seed(0)
    edges, x = torch.tensor([[0, 1, 3, 2], [1, 2, 0, 3]]), torch.randn(4, 16)
    for flow in ("source_to_target", "target_to_source"):
        options = {"heads": 2, "add_self_loops": False, "flow": flow}
        ours, theirs = GATConv(16, 4, **options), pyg.GATConv(16, 4, **options)
        ours.load_state_dict(theirs.state_dict())
        mask = torch.randn(4)
        for conv in (ours, theirs):
            conv.explain, conv._edge_mask, conv._apply_sigmoid = True, mask, True
            conv._loop_mask = edges[0] != edges[1]
        torch.testing.assert_close(ours(x, edges), theirs(x, edges))
