from __future__ import annotations

import pytest
import torch
from torch.nn.modules import module
from torch.nn.utils.parametrizations import spectral_norm
from torch_geometric import nn as pyg

from graphattn.nn import Linear
from graphattn.nn.linear import apply_map, plan_map
from graphattn.ops import Projection


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


def test_another_dtype_is_named() -> None:
    with pytest.raises(TypeError, match=r"'x' is torch.float64, .* weights are torch.float32"):
        Linear(5, 3)(torch.randn(2, 5).double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Linear(5, 3)(torch.randn(2, 5).bfloat16()).dtype == torch.bfloat16


def test_a_planned_map_is_the_map() -> None:
    torch.manual_seed(0)
    x, scorer = torch.randn(5, 7), torch.randn(1, 3, 2)
    for bias, scorers in ((False, [scorer, 2 * scorer]), (True, [])):
        layer = Linear(7, 6, bias=bias)
        planned = plan_map(layer, x, 3, *scorers)
        assert all(isinstance(one, Projection) for one in planned)
        for one, expected in zip(planned, apply_map(layer, x, 3, *scorers), strict=True):
            assert tuple(one.shape) == expected.shape
            torch.testing.assert_close(one.compute(), expected)
        sparse = plan_map(layer, x.to_sparse_csr(), 3, *scorers)
        for one, expected in zip(sparse, apply_map(layer, x, 3, *scorers), strict=True):
            torch.testing.assert_close(one, expected)
    with pytest.raises(ValueError, match="'x' has 6 features per node, expected 7"):
        plan_map(layer, x[:, 1:], 3)


def _with_own_forward() -> Linear:
    layer = Linear(7, 6, bias=False)
    layer.forward = lambda x: torch.ones(len(x), 6)
    return layer


def _hooked(name: str) -> Linear:
    layer = Linear(7, 6, bias=False)
    getattr(layer, f"register_{name}")(lambda *_: None)
    return layer


class _Doubled(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "layer",
    [
        _with_own_forward(),
        _hooked("forward_hook"),
        _hooked("forward_pre_hook"),
        _hooked("full_backward_hook"),
        _hooked("full_backward_pre_hook"),
        _Doubled(7, 6, bias=False),
        torch.nn.Linear(7, 6, bias=False),
        spectral_norm(Linear(7, 6, bias=False)),
        Linear(7, 6, bias=False).bfloat16(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_maps_that_somebody_sees_or_replaced_are_called(layer: torch.nn.Module) -> None:
    x = torch.randn(5, 7).to(layer.weight.dtype)
    torch.manual_seed(0)
    (planned,) = plan_map(layer, x, 3)
    torch.manual_seed(0)
    assert isinstance(planned, torch.Tensor)
    layer.eval()
    assert torch.equal(plan_map(layer, x, 3)[0], layer(x).view(5, 3, 2))


def test_global_hooks_count() -> None:
    layer, x = Linear(7, 6), torch.randn(5, 7)
    for register in (
        module.register_module_forward_hook,
        module.register_module_forward_pre_hook,
        module.register_module_full_backward_hook,
        module.register_module_full_backward_pre_hook,
    ):
        handle = register(lambda *_: None)
        assert isinstance(plan_map(layer, x, 3)[0], torch.Tensor)
        handle.remove()
    assert isinstance(plan_map(layer, x, 3)[0], Projection)
