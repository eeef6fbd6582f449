from __future__ import annotations

import pytest
from torch import Tensor

from graphattn.nn import GATConv
from graphattn.nn.conv._watch import is_edge_update_watched, is_watched


class Child(GATConv):
    pass


class OwnMessage(GATConv):
    def message(self, x_j: Tensor) -> Tensor:
        return 2 * x_j


class OwnAggregate(GATConv):
    def aggregate(self, inputs: Tensor) -> Tensor:
        return inputs


class OwnUpdate(GATConv):
    def update(self, inputs: Tensor) -> Tensor:
        return inputs


class OwnEdgeUpdate(GATConv):
    def edge_update(self, alpha_j: Tensor) -> Tensor:
        return alpha_j


def test_nobody_watches() -> None:
    assert not is_watched(GATConv(3, 2))
    assert not is_watched(Child(3, 2))
    assert not is_edge_update_watched(Child(3, 2))


@pytest.mark.parametrize("kind", ["propagate", "message", "aggregate", "edge_update"])
@pytest.mark.parametrize("when", ["forward", "forward_pre"])
def test_hooks_watch_until_they_are_removed(kind: str, when: str) -> None:
    conv = GATConv(3, 2)
    watched = is_edge_update_watched if kind == "edge_update" else is_watched
    handle = getattr(conv, f"register_{kind}_{when}_hook")(lambda *_: None)
    assert watched(conv)
    handle.remove()
    assert not watched(conv)


@pytest.mark.parametrize("conv", [OwnMessage, OwnAggregate, OwnUpdate])
def test_methods_of_a_subclass_are_used(conv: type[GATConv]) -> None:
    assert is_watched(conv(3, 2))
    assert not is_edge_update_watched(conv(3, 2))
    assert is_edge_update_watched(OwnEdgeUpdate(3, 2))


def test_methods_of_one_layer_are_used() -> None:
    conv = GATConv(3, 2)
    conv.message = lambda x_j, alpha, edge_x=None: x_j
    assert is_watched(conv)


def test_other_aggregations_watch() -> None:
    assert not is_watched(GATConv(3, 2, aggr="sum"))
    assert is_watched(GATConv(3, 2, aggr="mean"))
