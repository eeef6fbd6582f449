from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from graphattn.ops import _native, gat_attend, split_linear

pytestmark = pytest.mark.usefixtures("implementation")


def inputs(rows: int = 5) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = ((rows, 4), (6, 4), (6,))
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("sizes", [(6,), (3, 2, 1)])
def test_equals_torch(rows: int, sizes: tuple[int, ...]) -> None:
    x, weight, bias = inputs(rows)
    for given in ((x, weight), (x, weight, bias)):
        blocks = split_linear(*given, sizes=sizes)
        assert [block.size(1) for block in blocks] == list(sizes)
        expected = torch.nn.functional.linear(*given)
        torch.testing.assert_close(torch.cat(blocks, dim=1), expected)
        assert gradcheck(lambda *t: split_linear(*t, sizes=sizes), given)


def test_unused_blocks_have_no_gradient() -> None:
    x, weight, bias = inputs()
    _, right = split_linear(x, weight, bias, sizes=(4, 2))
    right.sum().backward()
    assert (weight.grad[:4] == 0).all()
    torch.testing.assert_close(weight.grad[4:], x.detach().sum(dim=0).expand(2, -1))


def test_gradients_of_neighbouring_blocks_are_not_copied(
    implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if implementation == "reference":
        pytest.skip("torch copies")
    joined, found = _native.joined, []

    def watched(blocks: tuple[Tensor, ...]) -> Tensor:
        found.append((blocks[0].data_ptr(), joined(blocks)))
        return found[-1][1]

    monkeypatch.setattr(_native, "joined", watched)
    torch.manual_seed(0)
    x, weight = torch.randn(9, 4), torch.randn(20, 4, requires_grad=True)
    values, u, w = split_linear(x, weight, sizes=(16, 2, 2))
    edges = torch.randint(9, (2, 40))
    gat_attend(values.unflatten(1, (2, 8)), u, w, edges).square().sum().backward()
    [(first, grad)] = found
    assert grad.data_ptr() == first
    copy = weight.grad.clone()
    weight.grad = None
    values, u, w = (x @ weight.t()).split((16, 2, 2), dim=1)
    gat_attend(values.unflatten(1, (2, 8)), u, w, edges).square().sum().backward()
    torch.testing.assert_close(copy, weight.grad)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"'weight' must have shape \[5, 4\], got \[6, 4\]"):
        split_linear(*inputs(), sizes=(3, 2))
