from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.tasks import NodeTask
from graphattn.train import TrainConfig
from graphattn.train.step import learning_rate_factor, make_optimizer, train_step


class Rows(nn.Linear):
    """Looks at features only, so that the expected step is easy to write down."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


def step(
    model: nn.Module, batch: Data, *, lr: float = 0.1, **settings: float
) -> tuple[Tensor, int]:
    """A step of plain gradient descent."""
    task, config = NodeTask(labels="multiclass"), TrainConfig(**settings)  # type: ignore[arg-type]
    fabric = Fabric(accelerator="cpu", devices=1)
    module = fabric.setup_module(model)
    optimizer = fabric.setup_optimizers(torch.optim.SGD(model.parameters(), lr=lr))
    return train_step(fabric, module, optimizer, batch, task, config)  # type: ignore[arg-type]


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


def test_label_smoothing_is_that_of_torch(graph: Data) -> None:
    model = Rows(8, 3)
    with torch.no_grad():
        out = model(graph.x, None)[graph.train_mask]
    y = graph.y[graph.train_mask]
    expected = nn.functional.cross_entropy(out, y, label_smoothing=0.3)
    torch.testing.assert_close(step(model, graph, label_smoothing=0.3)[0], expected)


def test_unknown_labels_are_not_trained_on(graph: Data) -> None:
    model = Rows(8, 3)
    unknown = graph.train_mask & (torch.arange(graph.num_nodes) < 60)
    graph.y[unknown] = -1
    known = graph.train_mask & ~unknown
    with torch.no_grad():
        expected = nn.functional.cross_entropy(model(graph.x, None)[known], graph.y[known])
    loss, nodes = step(model, graph)
    assert nodes == int(known.sum())
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("clip", [0.0, 1e-3, 1e6])
def test_gradients_are_clipped_together(graph: Data, clip: float) -> None:
    model = Rows(8, 3)
    step(model, graph, lr=0.0)
    free = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    step(model, graph, lr=0.0, clip_norm=clip)
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    torch.testing.assert_close(
        norm, free if clip in (0.0, 1e6) else torch.tensor(clip), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (TrainConfig(optimizer="adamw", lr=0.01, weight_decay=0.1), torch.optim.AdamW),
        (TrainConfig(optimizer="sgd", lr=0.01, weight_decay=0.1, momentum=0.9), torch.optim.SGD),
    ],
)
def test_other_optimisers_are_those_of_torch(config: TrainConfig, kind: type) -> None:
    ours, theirs = Rows(4, 2), Rows(4, 2)
    theirs.load_state_dict(ours.state_dict())
    more = {"momentum": 0.9} if config.optimizer == "sgd" else {}
    reference = kind(theirs.parameters(), lr=0.01, weight_decay=0.1, **more)
    optimizer = make_optimizer(ours, config)
    for _ in range(3):
        for model, stepper in ((ours, optimizer), (theirs, reference)):
            stepper.zero_grad()
            model.weight.square().sum().backward()
            stepper.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_the_schedule_is_that_of_torch() -> None:
    """With three steps an epoch; torch counts steps, and warms up from `start_factor`."""
    config = TrainConfig(schedule="cosine", warmup_epochs=2, max_epochs=7, optimizer="sgd")
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 6, total_iters=5),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15),
        ],
        milestones=[6],
    )
    for done in range(21):
        factor = learning_rate_factor(config, done / 3, 1 / 3)
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        scheduler.step()


def test_without_a_schedule_nothing_changes() -> None:
    assert {learning_rate_factor(TrainConfig(), epoch, 1) for epoch in range(9)} == {1.0}
