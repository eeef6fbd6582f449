from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from torch import nn

from graphattn.train.state import TrainState, random_state, set_random_state
from graphattn.train.stopping import EarlyStopping


def make_state(width: int = 3, seed: int = 0) -> TrainState:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(width, 2), nn.BatchNorm1d(2))
    return TrainState(model, torch.optim.Adam(model.parameters()), EarlyStopping("loss", 5))


def advance(state: TrainState) -> None:
    """Something that uses the weights, the optimiser, buffers and random numbers."""
    state.optimizer.zero_grad()
    loss = nn.functional.dropout(state.model(torch.rand(4, 3)), 0.5).square().sum()
    loss.backward()
    state.optimizer.step()
    state.epoch += 1
    state.history.append((state.epoch, loss.item()))
    if state.stopping.update(state.epoch, loss=loss.item(), metric=0.0):
        state.keep_weights()


def through_a_file(values: dict) -> dict:
    buffer = io.BytesIO()
    torch.save(values, buffer)
    buffer.seek(0)
    loaded: dict = torch.load(buffer, weights_only=True)
    return loaded


def test_goes_on_as_if_it_had_never_stopped() -> None:
    whole = make_state()
    for _ in range(3):
        advance(whole)
    saved = through_a_file(whole.state_dict())
    for _ in range(4):
        advance(whole)

    resumed = make_state(seed=1)
    resumed.load_state_dict(saved, source="f")
    for _ in range(4):
        advance(resumed)

    assert resumed.history == whole.history
    assert resumed.epoch == whole.epoch
    assert vars(resumed.stopping) == vars(whole.stopping)
    for ours, theirs in (
        (resumed.model.state_dict(), whole.model.state_dict()),
        (resumed.best, whole.best),
    ):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_best_weights_do_not_follow_the_model() -> None:
    state = make_state()
    state.keep_weights()
    before = {name: t.clone() for name, t in state.best.items()}
    state.stopping.update(0, loss=0.0, metric=0.0)  # nothing after this is better
    advance(state)
    assert all(torch.equal(t, before[name]) for name, t in state.best.items())
    assert not torch.equal(state.model.state_dict()["0.weight"], before["0.weight"])


def test_the_state_of_another_model_is_an_error_and_changes_nothing() -> None:
    state = make_state(width=4)
    before = {name: t.clone() for name, t in state.model.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"^f holds weights of another model.*\[2, 3\] in the file"
    ):
        state.load_state_dict(make_state(width=3).state_dict(), source="f")
    assert all(torch.equal(t, before[name]) for name, t in state.model.state_dict().items())


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.normal(), random.gauss(0, 1)  # noqa: NPY002


def test_random_numbers_go_on_where_they_were() -> None:
    draw()  # leaves a second normal number behind in numpy and Python, which counts as state
    saved = through_a_file(random_state())
    expected = [draw() for _ in range(5)]
    draw()
    set_random_state(saved)
    assert [draw() for _ in range(5)] == expected
