from __future__ import annotations

import pytest
import torch
from torch_geometric import nn as pyg

from graphattn.models import MLP


def test_ignores_edges_and_equals_pyg() -> None:
    ours, theirs = MLP([6, 8, 3]).eval(), pyg.MLP([6, 8, 3], norm=None).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 6).relu()
    expected = theirs(x)
    torch.testing.assert_close(ours(x, torch.randint(0, 5, (2, 9))), expected)
    torch.testing.assert_close(ours(x.to_sparse_csr(), None), expected)
    torch.testing.assert_close(ours(x, None, edge_attr=torch.ones(9, 2)), expected)


def test_wrong_width() -> None:
    with pytest.raises(ValueError, match="'x' has 5 features per node, expected 6"):
        MLP([6, 8, 3])(torch.randn(2, 5), None)


@pytest.mark.parametrize("widths", [[4, 10**12], [4, 0, 2], [4, -3], [4, 1.5]])
def test_absurd_widths(widths: list[int]) -> None:
    with pytest.raises(ValueError, match="'channel_list' must hold whole numbers from 1"):
        MLP(widths)
    with pytest.raises(TypeError, match="'x' must be a tensor, got list"):
        MLP([4, 2])([[1.0, 2.0, 3.0, 4.0]])
