from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric import nn as pyg

from graphattn.nn import TransformerConv


def test_contract(layer_check: Callable[..., None]) -> None:
    layer_check(TransformerConv, peer=pyg.TransformerConv)


def test_equals_its_peer(peer_check: Callable[..., None]) -> None:
    peer_check(TransformerConv, pyg.TransformerConv)


def test_sources_alone_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'x' is \(x_src, None\), but queries need"):
        TransformerConv(8, 4)((torch.randn(4, 8), None), torch.tensor([[0], [1]]))
