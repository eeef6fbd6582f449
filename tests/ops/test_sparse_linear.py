from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from graphattn.ops import _native, sparse_dropout, sparse_linear, use_implementation
from graphattn.ops.sparse_linear import cpu

IMPLEMENTATIONS = [
    "reference",
    pytest.param(
        "cpu",
        marks=pytest.mark.skipif(
            _native.why_missing() is not None, reason="the native library was not built"
        ),
    ),
]


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(7, 5) * (torch.rand(7, 5) < 0.3)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equals_the_dense_map(x: Tensor, dtype: torch.dtype, implementation: str) -> None:
    weight = torch.randn(3, 5, dtype=dtype, requires_grad=True)
    bias = torch.randn(3, dtype=dtype, requires_grad=True)
    with use_implementation(implementation):
        out = sparse_linear(x.to_sparse_csr(), weight, bias)
    assert out.dtype == dtype
    expected = linear(x.to(dtype), weight, bias)
    tolerance = {"rtol": 1e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(out, expected, **tolerance)
    cotangent = torch.randn_like(expected)
    for got, want in zip(
        torch.autograd.grad(out, (weight, bias), cotangent),
        torch.autograd.grad(expected, (weight, bias), cotangent),
        strict=True,
    ):
        torch.testing.assert_close(got, want, **tolerance)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_autocast_does_not_touch_it(x: Tensor, implementation: str) -> None:
    weight = torch.randn(3, 5, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16), use_implementation(implementation):
        out = sparse_linear(x.to_sparse_csr(), weight)
    out.sum().backward()
    torch.testing.assert_close(out, x @ weight.t())
    torch.testing.assert_close(weight.grad, x.sum(0).expand(3, -1))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_rows(implementation: str) -> None:
    weight = torch.randn(3, 5, requires_grad=True)
    with use_implementation(implementation):
        out = sparse_linear(torch.zeros(0, 5).to_sparse_csr(), weight)
    assert out.shape == (0, 3)
    out.sum().backward()
    assert (weight.grad == 0).all()


def test_dropout_hits_non_zeros_with_the_right_rate() -> None:
    torch.manual_seed(0)
    dense = torch.zeros(1000, 50)
    dense[:, ::5] = 1.0
    x = dense.to_sparse_csr()
    dropped = sparse_dropout(x, 0.6, training=True).to_dense()
    assert set(dropped.unique().tolist()) == {0.0, 2.5}
    assert abs((dropped[:, ::5] > 0).float().mean().item() - 0.4) < 0.02
    assert (dropped[dense == 0] == 0).all()
    assert sparse_dropout(x, 0.6, training=False) is x
    assert sparse_dropout(x, 0.0, training=True) is x


def test_bad_input(x: Tensor) -> None:
    with pytest.raises(TypeError, match=r"must be a torch.sparse_csr tensor, got .*strided"):
        sparse_linear(x, torch.randn(3, 5))
    with pytest.raises(ValueError, match=r"'weight' must have shape \[any, 5\], got \[3, 4\]"):
        sparse_linear(x.to_sparse_csr(), torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"'p' must lie in \[0, 1\], got 2"):
        sparse_dropout(x.to_sparse_csr(), 2.0, training=True)
    with pytest.raises(ValueError, match="'x' is sparse and requires a gradient"):
        sparse_linear(x.to_sparse_csr().requires_grad_(), torch.randn(3, 5))


@pytest.mark.skipif(_native.why_missing() is not None, reason="no native library")
def test_a_pattern_is_transposed_once(x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout makes a new matrix in every step, of the same pattern."""
    x, made = x.to_sparse_csr(), []
    whole = cpu._by_feature
    monkeypatch.setattr(cpu, "_by_feature", lambda x: made.append(x) or whole(x))
    weight = torch.randn(3, x.size(1), requires_grad=True)
    for _ in range(3):
        dropped = sparse_dropout(x, 0.5, training=True)
        (grad,) = torch.autograd.grad(sparse_linear(dropped, weight).square().sum(), weight)
        dense = linear(dropped.to_dense(), weight)
        torch.testing.assert_close(grad, torch.autograd.grad(dense.square().sum(), weight)[0])
    assert len(made) == 1
    other = x.to_dense().flip(1).to_sparse_csr()
    (grad,) = torch.autograd.grad(sparse_linear(other, weight).sum(), weight)
    torch.testing.assert_close(grad, other.to_dense().sum(dim=0).expand(3, -1))
    assert len(made) == 2
