from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

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


def first(state: dict[str, Any]) -> dict[str, Any]:
    """What the optimiser keeps of the first parameter."""
    return state["optimizer"]["state"][0]


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "epoch of text": (lambda s: s.update(epoch="3"), "'epoch' must be a whole number"),
    "negative epoch": (lambda s: s.update(epoch=-1), "'epoch' must be at least 0"),
    "absurd epoch": (lambda s: s.update(epoch=10**9), "'epoch' must be at most 10, got"),
    "no epoch": (lambda s: s.pop("epoch"), r"damaged: KeyError\('epoch'\)"),
    "time": (lambda s: s.update(seconds=float("nan")), "'seconds' must be finite"),
    "no rule": (lambda s: s.update(stopping={}), "the stopping state lacks monitor"),
    "rule": (lambda s: s.update(stopping=[1]), "the stopping state lacks monitor"),
    "best epoch": (lambda s: s["stopping"].update(best_epoch=9), "'best_epoch' must be at most 2"),
    "long history": (lambda s: s.update(history=torch.zeros(3, 2)), "at most 2 rows"),
    "flat history": (lambda s: s.update(history=torch.zeros(2)), "must have rows and columns"),
    "history": (lambda s: s.update(history=None), "damaged"),
    "NaN weight": (lambda s: s["model"]["0.weight"].fill_(torch.nan), "finite weights"),
    "NaN best weight": (lambda s: s["best"]["0.bias"].fill_(torch.inf), "finite weights"),
    "no best weights": (lambda s: s.update(best={}), "weights of another model"),
    "shape": (lambda s: s["best"].update({"0.bias": torch.zeros(3)}), "'0.bias' is .3. in"),
    "list": (lambda s: s["model"].update({"0.bias": [0.0, 0.0]}), "damaged"),
    "moment": (lambda s: first(s)["exp_avg"].fill_(torch.nan), "exp_avg has not"),
    "shape of a moment": (
        lambda s: first(s).update(exp_avg=torch.zeros(7)),
        "of shape .2, 3., got",
    ),
    "step": (lambda s: first(s).update(step=torch.tensor(torch.inf)), "step has not"),
    "parameter": (lambda s: s["optimizer"]["state"].update({99: {}}), "4 parameters, got 99"),
    "setting": (lambda s: s["optimizer"]["param_groups"][0].update(lr=float("nan")), "got lr nan"),
    "groups": (lambda s: s["optimizer"].update(param_groups=[]), "groups of .4. parameters, got"),
    "no optimiser": (lambda s: s.update(optimizer={}), r"damaged: KeyError\('param_groups'\)"),
    "generators": (lambda s: s.update(random={}), r"damaged: KeyError\('torch'\)"),
    "torch's": (lambda s: s["random"].update(torch=torch.zeros(3)), "damaged"),
    "NumPy's": (lambda s: s["random"].update(numpy=(torch.zeros(3), 0, 0, 0.0)), "damaged"),
    "Python's": (lambda s: s["random"].update(python=(3, (10**30,) * 625, None)), "damaged"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_impossible_state_is_an_error_in_one_sentence_and_changes_nothing(name: str) -> None:
    change, text = CHANGES[name]
    state = make_state()
    for _ in range(2):
        advance(state)
    saved = through_a_file({"config": {"max_epochs": 10}, **state.state_dict()})
    change(saved)
    other = make_state()
    before = through_a_file(other.state_dict())
    with pytest.raises(ValueError, match=text) as info:
        other.load_state_dict(saved, source="f")
    assert str(info.value).startswith("f ")
    assert "\n" not in str(info.value)
    after = other.state_dict()
    assert after["epoch"] == 0
    assert all(torch.equal(after["model"][key], t) for key, t in before["model"].items())
    assert str(after["optimizer"]) == str(before["optimizer"])


def test_nothing_need_be_selected_yet() -> None:
    """As in a checkpoint from before the first look at the validation set."""
    state = make_state()
    state.epoch = 1
    other = make_state(seed=1)
    other.load_state_dict(through_a_file(state.state_dict()), source="f")
    assert (other.epoch, other.best, other.history) == (1, {}, [])
