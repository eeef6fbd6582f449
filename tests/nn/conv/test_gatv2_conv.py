from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric import nn as pyg

from graphattn.nn import GATv2Conv


def test_contract(layer_check: Callable[..., None]) -> None:
    layer_check(GATv2Conv, peer=pyg.GATv2Conv)


def test_equals_its_peer(peer_check: Callable[..., None]) -> None:
    peer_check(GATv2Conv, pyg.GATv2Conv)


def test_shared_weights_equal_pyg() -> None:
    x, edges = torch.randn(4, 8), torch.tensor([[0, 1, 2, 3], [0, 0, 1, 3]])
    ours = GATv2Conv(8, 4, heads=2, share_weights=True)
    theirs = pyg.GATv2Conv(8, 4, heads=2, share_weights=True)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x, edges), theirs(x, edges))
    with pytest.raises(ValueError, match=r"'share_weights' needs equal 'in_channels'"):
        GATv2Conv((8, 4), 4, share_weights=True)


def test_sources_alone_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'x' is \(x_src, None\)"):
        GATv2Conv(8, 4)((torch.randn(4, 8), None), torch.tensor([[0], [1]]))


def test_each_query_can_prefer_its_own_key() -> None:
    # GATv2 paper, section 3.2: weights exist for which query i ranks key i first.
    edges = torch.cartesian_prod(torch.arange(4), torch.arange(4)).t()
    conv = GATv2Conv((4, 4), 8, add_self_loops=False, bias=False)
    eye = torch.eye(4)
    with torch.no_grad():
        # LeakyReLU(k - q) + LeakyReLU(q - k) per coordinate is least where key and query agree.
        conv.lin_l.weight.copy_(torch.cat([eye, -eye]))
        conv.lin_r.weight.copy_(torch.cat([-eye, eye]))
        conv.att.fill_(-1.0)
    _, (_, alpha) = conv((eye, eye), edges, return_attention_weights=True)
    assert alpha.view(4, 4).argmax(dim=0).tolist() == [0, 1, 2, 3]
