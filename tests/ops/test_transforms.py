from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch_geometric import EdgeIndex

from graphattn.ops._transforms import gradients_by_definition, refuse_tracing, takes_kernels


class Subclass(Tensor):
    pass


def test_plain_tensors_are_taken() -> None:
    assert takes_kernels([torch.ones(2), None, Parameter(torch.ones(2))])
    with torch.inference_mode(), torch.device("cpu"):
        assert takes_kernels([torch.ones(2)])


def test_what_has_no_memory_of_its_own_is_not() -> None:
    index = EdgeIndex(torch.tensor([[0, 1], [1, 0]]))
    for other in (torch.ones(2).as_subclass(Subclass), index, FakeTensorMode().from_tensor(index)):
        assert not takes_kernels([torch.ones(2), other])


def test_nothing_is_taken_where_torch_looks_into_ops() -> None:
    seen = []

    def look(x: Tensor) -> Tensor:
        seen.append(takes_kernels([torch.ones(2)]))
        return x.sum()

    torch.func.grad(look)(torch.ones(2))
    torch.func.vmap(look)(torch.ones(2, 2))
    with forward_ad.dual_level():
        look(torch.ones(2))
    with FakeTensorMode():
        look(torch.ones(2))
    assert seen == [False] * 4
    look(torch.ones(2))
    assert seen[-1]


def test_gradients_by_definition() -> None:
    x, y = torch.randn(3, requires_grad=True), torch.randn(3)
    grad = torch.randn(3, requires_grad=True)

    def definition(inputs: list[Tensor]) -> list[Tensor | None]:
        return [inputs[0] ** 2 * inputs[1], None, inputs[1] * 2]

    given = [grad, None, torch.ones(3)]
    found = gradients_by_definition(definition, [x, y], given, [True, False])
    assert found[1] is None
    torch.testing.assert_close(found[0], 2 * x * y * grad)
    torch.testing.assert_close(torch.autograd.grad(found[0].sum(), x)[0], 2 * y * grad)
    with torch.no_grad():
        (plain,) = gradients_by_definition(definition, [x, y], given, [True, False])[:1]
    assert not plain.requires_grad


def test_tracing_is_refused() -> None:
    refuse_tracing()

    def traced(x: Tensor) -> Tensor:
        refuse_tracing()
        return x

    with pytest.raises(RuntimeError, match=r"ops of graphattn .* torch\.jit\.trace"):
        torch.jit.trace(traced, torch.ones(2))
