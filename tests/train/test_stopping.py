from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest

from graphattn.train.config import Monitor
from graphattn.train.stopping import EarlyStopping

Epochs = Sequence[tuple[float, float]]  # (loss, metric)


def play(
    monitor: Monitor, patience: int, epochs: Epochs
) -> tuple[list[int], list[int], EarlyStopping]:
    """Feed epochs until the rule stops; which were selected, and the counter after each."""
    stopping = EarlyStopping(monitor, patience)
    selected, waits = [], []
    for epoch, (loss, metric) in enumerate(epochs, start=1):
        if stopping.update(epoch, loss=loss, metric=metric):
            selected.append(epoch)
        waits.append(stopping.wait)
        if stopping.stop:
            break
    return selected, waits, stopping


def test_the_first_or_the_last_of_equal_epochs() -> None:
    equal = [(1.0, 0.5), (1.0, 0.5), (0.5, 0.4), (0.5, 0.5)]
    for monitor, first, last in (("loss", 3, 4), ("metric", 1, 4), ("loss_and_metric", 1, 4)):
        for ties, expected in (("first", first), ("last", last)):
            stopping = EarlyStopping(monitor, 9, ties)
            for epoch, (loss, metric) in enumerate(equal, start=1):
                stopping.update(epoch, loss=loss, metric=metric)
            assert stopping.best_epoch == expected
            again = EarlyStopping(monitor, 9, ties)
            again.load_state_dict(stopping.state_dict())
    old = {key: value for key, value in stopping.state_dict().items() if key != "ties"}
    again.load_state_dict(old)
    with pytest.raises(ValueError, match="'ties' must be 'first', got 'last'"):
        EarlyStopping(monitor, 9, "first").load_state_dict(old)


def gat_authors(epochs: Epochs, patience: int) -> tuple[int, int]:
    """The loop of execute_cora.py of the GAT authors, in its own terms: kept and last epoch."""
    vlss_mn, vacc_mx, curr_step, kept = float("inf"), 0.0, 0, 0
    last = 0
    for last, (loss, acc) in enumerate(epochs, start=1):
        if acc >= vacc_mx or loss <= vlss_mn:
            if acc >= vacc_mx and loss <= vlss_mn:
                kept = last
            vacc_mx, vlss_mn, curr_step = max(acc, vacc_mx), min(loss, vlss_mn), 0
        else:
            curr_step += 1
            if curr_step == patience:
                break
    return kept, last


#        1          2          3          4          5          6          7          8
EPOCHS = [(3, 0.5), (2, 0.4), (2, 0.5), (4, 0.6), (1, 0.5), (5, 0.6), (9, 0.1), (9, 0.1)]


@pytest.mark.parametrize(
    ("monitor", "selected", "waits"),
    [
        # Equal losses 2, 3 both count; 5 is lower.
        ("loss", [1, 2, 3, 5], [0, 0, 0, 1, 0, 1, 2]),
        # 0.5, (0.4), 0.5 again, 0.6, (0.5), 0.6 again.
        ("metric", [1, 3, 4, 6], [0, 1, 0, 0, 1, 0, 1, 2]),
        # Both at once: 1 and 3 (ties in both); 4 and 6 only by metric, 2 and 5 only by loss.
        ("loss_and_metric", [1, 3], [0, 0, 0, 0, 0, 0, 1, 2]),
    ],
)
def test_selects_and_counts(monitor: Monitor, selected: list[int], waits: list[int]) -> None:
    got_selected, got_waits, stopping = play(monitor, 2, EPOCHS)
    assert got_selected == selected
    assert got_waits == waits
    assert stopping.stop
    assert stopping.best_epoch == selected[-1]
    assert stopping.selected_metric == EPOCHS[selected[-1] - 1][1]


def test_a_joint_hit_needs_the_best_of_all_epochs_not_of_selected_ones() -> None:
    # Epoch 2 lowers the loss to 1 without being selected; 1.5 is then no hit for epoch 3.
    selected, _, _ = play("loss_and_metric", 9, [(2, 0.5), (1, 0.4), (1.5, 0.6), (1, 0.6)])
    assert selected == [1, 4]


def test_stops_at_exactly_patience_epochs_without_a_hit() -> None:
    _, waits, stopping = play(
        "loss", 3, [(1, 0), (2, 0), (2, 0), (1, 0), (2, 0), (2, 0), (2, 0), (0, 0)]
    )
    assert waits == [0, 1, 2, 0, 1, 2, 3]
    assert stopping.stop


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("patience", [1, 2, 5])
def test_is_the_rule_of_the_gat_authors(seed: int, patience: int) -> None:
    import random

    draw = random.Random(seed)
    epochs = [(draw.randint(0, 8) / 8, draw.randint(0, 8) / 8) for _ in range(60)]
    _, waits, stopping = play("loss_and_metric", patience, epochs)
    assert (stopping.best_epoch, len(waits)) == gat_authors(epochs, patience)


@pytest.mark.parametrize("monitor", ["loss", "metric", "loss_and_metric"])
@pytest.mark.parametrize("cut", range(8))
def test_continues_from_its_state(monitor: Monitor, cut: int) -> None:
    whole, first = EarlyStopping(monitor, 9), EarlyStopping(monitor, 9)
    for epoch, (loss, metric) in enumerate(EPOCHS, start=1):
        if epoch == cut + 1:
            state = json.loads(json.dumps(first.state_dict()))
            first = EarlyStopping(monitor, 9)
            first.load_state_dict(state)
        expected = whole.update(epoch, loss=loss, metric=metric)
        assert first.update(epoch, loss=loss, metric=metric) == expected
    assert vars(first) == vars(whole)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (None, "the stopping state lacks monitor, patience, best_epoch"),
        ({"monitor": "metric"}, "'monitor' must be 'loss', got 'metric'"),
        ({"patience": 10**9}, "'patience' must be 9, got 1000000000"),
        ({"best_epoch": -1}, "'best_epoch' must be at least 0"),
        ({"best_epoch": 1.0}, "'best_epoch' must be a whole number"),
        ({"wait": -(10**9)}, "'wait' must be at least 0"),
        ({"wait": None}, "'wait' must be a whole number"),
        ({"selected_metric": math.nan}, "'selected_metric' must be a number, got nan"),
        ({"selected_metric": "0.5"}, "'selected_metric' must be a number, got '0.5'"),
        ({"_lowest_loss": math.nan}, "'_lowest_loss' must be a number, got nan"),
        ({"_highest_metric": [1.0]}, "'_highest_metric' must be a number"),
        ({"stop": True}, "the stopping state has an unknown 'stop'"),
    ],
)
def test_an_impossible_state_is_an_error_and_changes_nothing(
    change: dict[str, object] | None, text: str
) -> None:
    stopping = EarlyStopping("loss", 9)
    stopping.update(1, loss=1.0, metric=0.5)
    before = dict(vars(stopping))
    state = {} if change is None else {**stopping.state_dict(), **change}
    with pytest.raises((TypeError, ValueError), match=text):
        stopping.load_state_dict(state)
    assert vars(stopping) == before
