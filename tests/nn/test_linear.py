from __future__ import annotations

import pytest
import torch
from torch_geometric import nn as pyg

from graphattn.nn import Linear
from graphattn.nn.linear import map_together


def test_sparse_equals_dense_and_pyg() -> None:
    ours, theirs = Linear(5, 3), pyg.Linear(5, 3)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 5).relu()
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x.to_sparse_csr()), theirs(x))


def test_lazy_width_from_sparse_features() -> None:
    lazy = Linear(-1, 3)
    assert lazy(torch.eye(4).to_sparse_csr()).shape == (4, 3)
    assert lazy.in_channels == 4


def test_wrong_width() -> None:
    with pytest.raises(ValueError, match="'x' has 4 features per node, expected 5"):
        Linear(5, 3)(torch.randn(2, 4))


@pytest.mark.parametrize("sparse", [False, True])
def test_scores_are_inner_products_of_the_heads(sparse: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 7, dtype=torch.float64)
    layer = Linear(7, 6, bias=False).double()
    scorers = torch.randn(2, 3, 2, dtype=torch.float64)  # two scorers of three heads
    given = x.to_sparse_csr() if sparse else x
    out = layer(given, scorers)
    features = x @ layer.weight.t()
    scores = torch.einsum("shc,nhc->nsh", scorers, features.view(5, 3, 2)).flatten(1)
    torch.testing.assert_close(torch.cat(out, dim=1), torch.cat([features, scores], dim=1))
    assert [block.size(1) for block in out] == [6, 3, 3]
    alone = layer(given, scorers, features=False)
    torch.testing.assert_close(torch.cat(alone, dim=1), scores)
    with pytest.raises(ValueError, match="the map has a bias"):
        Linear(7, 6)(x.float(), scorers)


def test_maps_of_one_input_are_one_product() -> None:
    torch.manual_seed(0)
    x, maps = torch.randn(4, 5), [Linear(5, 3), Linear(5, 2)]
    for bias in (True, False):
        maps = [Linear(5, 3, bias=bias), Linear(5, 2, bias=bias)]
        for given in (x, x.to_sparse_csr()):
            for one, out in zip(maps, map_together(given, *maps), strict=True):
                torch.testing.assert_close(out, one(given))
    seen: list[torch.Tensor] = []
    maps[1].register_forward_hook(lambda module, inputs, out: seen.append(out))
    *_, out = map_together(x, *maps)
    assert seen[0] is out
    replaced = map_together(x, torch.nn.Linear(5, 2), maps[0])
    torch.testing.assert_close(replaced[1], maps[0](x))
    with pytest.raises(ValueError, match="'x' has 4 features per node, expected 5"):
        map_together(x[:, 1:], maps[0], maps[0])
