from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.train import TrainConfig
from graphattn.train.step import make_optimizer, train_step


class Rows(nn.Linear):
    """Looks at features only, so that the expected step is easy to write down."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


def step(model: nn.Module, batch: Data, *, l2: float = 0.0, lr: float = 0.1) -> tuple[Tensor, int]:
    """A step of plain gradient descent."""
    fabric = Fabric(accelerator="cpu", devices=1)
    module = fabric.setup_module(model)
    optimizer = fabric.setup_optimizers(torch.optim.SGD(model.parameters(), lr=lr))
    return train_step(fabric, module, optimizer, batch, l2=l2)  # type: ignore[arg-type]


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_descends_on_the_loss_of_training_nodes_plus_squares(graph: Data, l2: float) -> None:
    model = Rows(8, 3)
    start = [p.detach().clone().requires_grad_() for p in model.parameters()]
    x, y = graph.x[graph.train_mask], graph.y[graph.train_mask]
    expected_loss = nn.functional.cross_entropy(x @ start[0].t() + start[1], y)
    squares = sum((p**2).sum() for p in start)
    grads = torch.autograd.grad(expected_loss + l2 * squares, start)

    loss, nodes = step(model, graph, l2=l2)

    assert nodes == int(graph.train_mask.sum())
    torch.testing.assert_close(loss, expected_loss.detach())
    for parameter, before, grad in zip(model.parameters(), start, grads, strict=True):
        torch.testing.assert_close(parameter.detach(), before.detach() - 0.1 * grad)


def test_gradients_do_not_add_up_over_steps(graph: Data) -> None:
    model = Rows(8, 3)
    step(model, graph, lr=0.0)
    first = model.weight.grad
    assert first is not None
    first = first.clone()
    step(model, graph, lr=0.0)
    torch.testing.assert_close(model.weight.grad, first)


@pytest.mark.parametrize("size", [10, 50, 120])
def test_only_the_seed_nodes_of_a_sampled_batch_are_trained_on(graph: Data, size: int) -> None:
    graph.batch_size = size
    model = Rows(8, 3)
    seeds = graph.train_mask & (torch.arange(graph.num_nodes) < size)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(model(graph.x, None)[seeds], graph.y[seeds])
    loss, nodes = step(model, graph)
    assert nodes == int(seeds.sum()) > 0
    torch.testing.assert_close(loss, expected)


def test_a_batch_without_training_nodes_is_skipped(graph: Data) -> None:
    model = Rows(8, 3)
    before = model.weight.detach().clone()
    graph.train_mask = torch.zeros_like(graph.train_mask)
    loss, nodes = step(model, graph)
    assert (loss.item(), nodes) == (0.0, 0)
    assert torch.equal(model.weight, before)


def test_adam_decays_coupled() -> None:
    config = TrainConfig(lr=0.01, weight_decay=0.1)
    ours, theirs = Rows(4, 2), Rows(4, 2)
    theirs.load_state_dict(ours.state_dict())
    reference = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=0.1)
    optimizer = make_optimizer(ours, config)
    for _ in range(3):
        for model, stepper in ((ours, optimizer), (theirs, reference)):
            stepper.zero_grad()
            model.weight.square().sum().backward()
            stepper.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_weight_decay_by_name() -> None:
    model = nn.ModuleDict({"first": Rows(4, 2), "conv": nn.ModuleDict({"att": Rows(4, 2)})})
    model.first.bias.requires_grad_(False)
    decays = (("conv.*.bias", 0.0), ("*conv*", 0.5))
    groups = make_optimizer(model, TrainConfig(weight_decay=0.1, weight_decays=decays)).param_groups
    assert [(group["params"], group["weight_decay"]) for group in groups] == [
        ([model.first.weight], 0.1),
        ([model.conv.att.bias], 0.0),
        ([model.conv.att.weight], 0.5),
    ]


def test_weight_decay_of_everything_by_name() -> None:
    (group,) = make_optimizer(Rows(4, 2), TrainConfig(weight_decays=(("*", 0.2),))).param_groups
    assert (len(group["params"]), group["weight_decay"]) == (2, 0.2)


@pytest.mark.parametrize("decays", [(("att*", 0.1),), (("*", 0.1), ("bias", 0.2))])
def test_a_pattern_that_decides_nothing_is_an_error(decays: tuple[tuple[str, float], ...]) -> None:
    text = f"the pattern '{decays[-1][0]}'".replace("*", r"\*")
    with pytest.raises(ValueError, match=f"'weight_decays' has {text}, which fits no parameter"):
        make_optimizer(Rows(4, 2), TrainConfig(weight_decays=decays))


def test_frozen_parameters_are_left_out() -> None:
    model = Rows(4, 2)
    model.bias.requires_grad_(False)
    (group,) = make_optimizer(model, TrainConfig()).param_groups
    assert group["params"] == [model.weight]


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ValueError, match="'model' must have trainable parameters, got Identity"):
        make_optimizer(nn.Identity(), TrainConfig())
