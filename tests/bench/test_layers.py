from __future__ import annotations

import pytest
import torch

import graphattn.nn
from graphattn.bench import Lineup, Settings
from graphattn.bench.graphs import Graph
from graphattn.bench.layers import (
    LAYERS,
    LayerInputs,
    LayerKind,
    dropout_lineup,
    lineup,
    ours_alone,
)
from graphattn.bench.measuring import errors_of

SMALL = Settings(scale=0.5)
INPUTS = LayerInputs(Graph(1000, 8000), heads=4, channels=8)


HERE = [name for name, kind in LAYERS.items() if hasattr(graphattn.nn, kind.name)]


@pytest.fixture(params=HERE)
def competing(request: pytest.FixtureRequest) -> Lineup:
    return lineup(LAYERS[request.param], INPUTS, SMALL)


def test_contenders_agree_with_float64(competing: Lineup) -> None:
    kinds = []
    for contender in competing.contenders:
        if contender.results is None or contender.kind == "compiled":  # compiling takes 10 s
            continue
        errors = errors_of(contender.results(), competing.reference)
        assert errors["output error"] < 1e-5
        assert errors["rows off"] < 3
        kinds.append(contender.kind)
    assert kinds[:4] == ["ours", "pyg", "pyg", "pyg"]
    assert {contender.kind for contender in competing.contenders} >= {"compiled", "csr"}
    assert competing.note.startswith("largest in-degree ")


def test_an_error_is_seen(competing: Lineup) -> None:
    ours = competing.contenders[0]
    assert ours.results is not None
    results = ours.results()
    results["gradient"][3] += 1
    errors = errors_of(results, competing.reference)
    assert errors["gradient error"] > 1e-3
    assert errors["rows off"] == 1


def test_steps_leave_nothing_behind(competing: Lineup) -> None:
    for contender in competing.contenders:
        if contender.kind not in ("ours", "pyg"):
            continue
        step = contender.forward.__self__
        step.backward(step.forward())
        assert step.x.grad is not None
        contender.release()
        assert step.x.grad is None
        assert all(parameter.grad is None for parameter in step.layer.parameters())


@pytest.mark.parametrize("name", ["gat", "gatv2"])
def test_the_op_alone_gives_the_output_of_the_layer(name: str) -> None:
    ours, op, *_ = lineup(LAYERS[name], INPUTS, SMALL).contenders
    assert (ours.kind, op.kind) == ("ours", "ours op")
    out = op.forward()
    torch.testing.assert_close(out.flatten(1), ours.forward())  # the bias is still zero
    assert op.backward is not None
    op.backward(out)


def test_ours_alone() -> None:
    alone = ours_alone(LAYERS["gat"], INPUTS, SMALL)
    assert [contender.kind for contender in alone.contenders] == ["ours", "csr"]


def test_dropout_is_what_differs() -> None:
    inputs = LayerInputs(Graph(1000, 8000), heads=4, channels=8, dropout=0.6)
    plain, dropping = dropout_lineup(LAYERS["gat"], inputs, SMALL).contenders
    assert (plain.kind, dropping.kind) == ("ours", "ours dropping")
    assert torch.equal(plain.forward(), plain.forward())
    assert not torch.equal(dropping.forward(), dropping.forward())


def test_inputs_in_a_line() -> None:
    assert str(INPUTS) == (
        "power-law graph, 1,000 nodes, 8,000 edges, 32 -> 4 x 8, float32, dropout 0.0, "
        "x requires grad"
    )


def test_a_layer_that_we_lack_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"graphattn.nn has no SuperGATConv yet"):
        ours_alone(LayerKind("SuperGATConv", self_loops=False), INPUTS, SMALL)
