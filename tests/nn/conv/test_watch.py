from __future__ import annotations

import pytest
from torch import Tensor
from torch_geometric.nn import MessagePassing

from graphattn.nn.conv._watch import is_watched


class Conv(MessagePassing):
    def message(self, x_j: Tensor) -> Tensor:
        return x_j


class Child(Conv):
    pass


class OwnMessage(Conv):
    def message(self, x_j: Tensor) -> Tensor:
        return 2 * x_j


class OwnAggregate(Conv):
    def aggregate(self, inputs: Tensor) -> Tensor:
        return inputs


class OwnUpdate(Conv):
    def update(self, inputs: Tensor) -> Tensor:
        return inputs


def test_nobody_watches() -> None:
    assert not is_watched(Conv(), Conv)
    assert not is_watched(Child(), Conv)


@pytest.mark.parametrize("kind", ["propagate", "message", "aggregate"])
@pytest.mark.parametrize("when", ["forward", "forward_pre"])
def test_hooks_watch_until_they_are_removed(kind: str, when: str) -> None:
    conv = Conv()
    handle = getattr(conv, f"register_{kind}_{when}_hook")(lambda *_: None)
    assert is_watched(conv, Conv)
    handle.remove()
    assert not is_watched(conv, Conv)


@pytest.mark.parametrize("conv", [OwnMessage, OwnAggregate, OwnUpdate])
def test_methods_of_a_subclass_are_used(conv: type[Conv]) -> None:
    assert is_watched(conv(), Conv)


def test_explainers_and_other_aggregations_watch() -> None:
    conv = Conv()
    conv.explain = True
    assert is_watched(conv, Conv)
    conv.explain = False
    assert not is_watched(conv, Conv)
    assert not is_watched(Conv(aggr="sum"), Conv)
    assert is_watched(Conv(aggr="mean"), Conv)
