"""One attention layer, forward and backward: ours against those of PyG and DGL."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

import graphattn.nn
from graphattn.bench.case import Lineup, Settings
from graphattn.bench.floor import floor
from graphattn.bench.graphs import Graph, with_self_loops
from graphattn.bench.measuring import Contender, Missing
from graphattn.bench.peers import dgl_graph, import_dgl, pyg_forms, turbo_gnn
from graphattn.nn import AttentionConv
from graphattn.ops import attend, build_csr

__all__ = [
    "LAYERS",
    "LayerInputs",
    "LayerKind",
    "dropout_lineup",
    "lineup",
    "lineup_on",
    "ours_alone",
]

# Destinations whose outputs and gradients are compared with float64, besides the largest hub.
_CHECKED = 4096


@dataclass(frozen=True)
class LayerKind:
    """A layer that ours and PyG's library have, and perhaps DGL."""

    name: str
    """Class name of ours and PyG's."""
    self_loops: bool
    """Whether the layer adds self-loops unless told otherwise."""
    dgl: dict[str, str] | None = None
    """Parameters of DGL's class of that name, with their names in PyG's."""

    def theirs(self, width: int, heads: int, channels: int) -> nn.Module:
        """PyG's layer for a graph that has its self-loops."""
        options = {"add_self_loops": False} if self.self_loops else {}
        layer: nn.Module = getattr(pyg, self.name)(width, channels, heads=heads, **options)
        return layer

    def ours(self, theirs: nn.Module, inputs: LayerInputs) -> AttentionConv:
        """Our layer with the weights of theirs; it adds self-loops by itself."""
        make = getattr(graphattn.nn, self.name, None)
        if make is None:
            raise NotImplementedError(f"graphattn.nn has no {self.name} yet")
        layer: AttentionConv = make(
            inputs.width, inputs.channels, heads=inputs.heads, dropout=inputs.dropout
        )
        layer.load_state_dict(theirs.state_dict())
        return layer


LAYERS = {
    "gat": LayerKind(
        "GATConv",
        self_loops=True,
        dgl={"fc.weight": "lin.weight", "attn_l": "att_src", "attn_r": "att_dst", "bias": "bias"},
    ),
    "gatv2": LayerKind(
        "GATv2Conv",
        self_loops=True,
        dgl={
            "fc_src.weight": "lin_l.weight",
            "fc_src.bias": "lin_l.bias",
            "fc_dst.weight": "lin_r.weight",
            "fc_dst.bias": "lin_r.bias",
            "attn": "att",
        },
    ),
    "dot": LayerKind("TransformerConv", self_loops=False),
}
"""Layers by the name of their group."""


@dataclass(frozen=True)
class LayerInputs:
    """Everything that a layer is given. float32; as many input features as outputs."""

    graph: Graph
    """The graph."""
    heads: int
    """Heads."""
    channels: int
    """Width of a head."""
    dropout: float = 0.0
    """Probability of dropping an attention coefficient."""

    @property
    def width(self) -> int:
        """Input features, and outputs of all heads."""
        return self.heads * self.channels

    def __str__(self) -> str:
        shape = f"{self.width} -> {self.heads} x {self.channels}"
        return f"{self.graph}, {shape}, float32, dropout {self.dropout}, x requires grad"


@dataclass
class _Step:
    """Forward and backward of a layer on common inputs."""

    layer: nn.Module
    call: Callable[[Tensor], Tensor]
    x: Tensor
    grad: Tensor
    checked: Tensor

    def forward(self) -> Tensor:
        return self.call(self.x)

    def backward(self, out: Tensor) -> None:
        torch.autograd.backward(out, self.grad)

    def release(self) -> None:
        self.x.grad = None
        self.layer.zero_grad(set_to_none=True)

    def results(self) -> dict[str, Tensor]:
        """Outputs of the checked nodes, and the gradient that they alone give."""
        self.release()
        probe = torch.zeros_like(self.grad)
        probe[self.checked] = self.grad[self.checked]
        out = self.call(self.x)
        torch.autograd.backward(out, probe)
        if self.x.grad is None:
            raise RuntimeError(f"{type(self.layer).__name__} gave no gradient to its input")
        return {"output": out.detach()[self.checked], "gradient": self.x.grad}

    def contender(self, name: str, kind: str) -> Contender:
        return Contender(name, kind, self.forward, self.backward, self.release, self.results)


def lineup(kind: LayerKind, inputs: LayerInputs, settings: Settings) -> Lineup:
    """All contenders on one input; all have the same weights.

    Args:
        kind: The layer.
        inputs: What it is given.
        settings: Wishes of the user.
    """
    prepared = _Prepared(kind, inputs, settings)
    contenders, missing = [prepared.ours(inputs), prepared.op(inputs)], [turbo_gnn()]
    for found in (*prepared.pyg(), *prepared.dgl(), *prepared.floor(), prepared.csr()):
        if isinstance(found, Missing):
            missing.append(found)
        else:
            contenders.append(found)
    return Lineup(contenders, missing, prepared.reference(), prepared.note())


def lineup_on(device: str, kind: LayerKind, inputs: LayerInputs, settings: Settings) -> Lineup:
    """Ours and PyG's on a device.

    Args:
        device: The device.
        kind: The layer.
        inputs: What it is given.
        settings: Wishes of the user.
    """
    prepared = _Prepared(kind, inputs, settings, device)
    found = list(prepared.pyg())
    return Lineup(
        [prepared.ours(inputs), *(one for one in found if isinstance(one, Contender))],
        [one for one in found if isinstance(one, Missing)],
        prepared.reference(),
        prepared.note(),
    )


def ours_alone(kind: LayerKind, inputs: LayerInputs, settings: Settings) -> Lineup:
    """Ours without peers, where these would take too much memory.

    Args:
        kind: The layer.
        inputs: What it is given.
        settings: Wishes of the user.
    """
    prepared = _Prepared(kind, inputs, settings)
    return Lineup(
        [prepared.ours(inputs), prepared.csr()], (), prepared.reference(), prepared.note()
    )


def dropout_lineup(kind: LayerKind, inputs: LayerInputs, settings: Settings) -> Lineup:
    """Ours with and without attention dropout.

    Args:
        kind: The layer.
        inputs: What it is given; its ``dropout`` is that of one of the two.
        settings: Wishes of the user.
    """
    prepared = _Prepared(kind, inputs, settings)
    dropping = replace(prepared.ours(inputs), kind="ours dropping", results=None)
    plain = replace(inputs, dropout=0.0)
    return Lineup([prepared.ours(plain), dropping], (), prepared.reference(), prepared.note())


class _Prepared:
    """Graph, inputs and weights that the contenders share."""

    def __init__(
        self, kind: LayerKind, inputs: LayerInputs, settings: Settings, device: str = "cpu"
    ) -> None:
        torch.manual_seed(0)
        graph = inputs.graph.scaled(settings.scale)
        self.kind = kind
        self.inputs = inputs
        self.num_nodes = graph.num_nodes
        self.edges = graph.edge_index()
        looped = with_self_loops(self.edges, graph.num_nodes) if kind.self_loops else self.edges
        self.looped = looped.to(device)
        self.x = torch.randn(graph.num_nodes, inputs.width).to(device).requires_grad_()
        self.grad = torch.randn(graph.num_nodes, inputs.width).to(device)
        self.theirs = kind.theirs(inputs.width, inputs.heads, inputs.channels).to(device)
        degree = torch.bincount(self.edges[1], minlength=graph.num_nodes)
        self.largest = int(degree.max())
        some = torch.randperm(graph.num_nodes)[:_CHECKED]
        self.checked = torch.unique(torch.cat([some, degree.argmax().view(1)])).to(device)
        self.edges = self.edges.to(device)

    def step(self, layer: nn.Module, call: Callable[[Tensor], Tensor]) -> _Step:
        return _Step(layer, call, self.x, self.grad, self.checked)

    def ours(self, inputs: LayerInputs) -> Contender:
        layer = self.kind.ours(self.theirs, inputs).to(self.x.device)
        dropout = f", dropout {inputs.dropout}" if inputs.dropout else ""
        step = self.step(layer, lambda x: layer(x, self.edges))
        return step.contender(f"graphattn {self.kind.name}{dropout}", "ours")

    def op(self, inputs: LayerInputs) -> Contender:
        """What the layer does on edges, without its dense projections; see the floor."""
        layer = self.kind.ours(self.theirs, inputs).to(self.x.device)
        with torch.no_grad():
            values, score, bias = layer.operands(self.x, self.x, None, self.num_nodes)
        values = values.clone().requires_grad_()
        leaves = {
            name: values if one is values else one.clone().requires_grad_()
            for name, one in score.operands().items()
            if one is not None
        }
        if score.kernel is not None and score.kernel.values is not None:
            leaves[score.kernel.values] = values
        score = score.replace(**leaves)
        if bias is not None:
            leaves["bias"] = bias = bias.clone().requires_grad_()
        loops = self.num_nodes if self.kind.self_loops else 0
        grad = self.grad.view_as(values)

        def release() -> None:
            for leaf in (values, *leaves.values()):
                leaf.grad = None

        return Contender(
            f"graphattn, the op of {self.kind.name} alone",
            "ours op",
            lambda: attend(values, score, self.edges, num_self_loops=loops, bias=bias),
            lambda out: torch.autograd.backward(out, grad),
            release,
        )

    def pyg(self) -> Iterator[Contender | Missing]:
        layer = self.theirs
        for form in pyg_forms(self.looped, self.num_nodes):
            if isinstance(form, Missing):
                yield form
                continue
            step = self.step(layer, _bound(layer, form[1]))
            yield step.contender(f"PyG {self.kind.name}, {form[0]}", "pyg")
        compiled = torch.compile(copy.deepcopy(layer))
        step = self.step(layer, lambda x: compiled(x, self.looped))
        yield step.contender(f"PyG {self.kind.name}, torch.compile", "compiled")

    def dgl(self) -> Iterator[Contender | Missing]:
        if self.kind.dgl is None:
            return
        try:
            dgl = import_dgl()
        except ImportError as error:
            yield Missing("DGL", f"not importable: {error}")
            return
        make = getattr(dgl.nn.pytorch, self.kind.name)
        inputs = self.inputs
        layer = make(inputs.width, inputs.channels, inputs.heads, allow_zero_in_degree=True)
        state = self.theirs.state_dict()
        layer.load_state_dict({name: state[ours] for name, ours in self.kind.dgl.items()})
        graph = dgl_graph(dgl, self.looped, self.num_nodes)
        step = self.step(layer, lambda x: layer(graph, x).flatten(1))
        yield step.contender(f"DGL {dgl.__version__} {self.kind.name}", "dgl")

    def floor(self) -> Iterator[Contender | Missing]:
        yield floor(self.looped, self.num_nodes, self.inputs.width)

    def csr(self) -> Contender:
        return Contender(
            "graphattn, sorting the edges (once per graph)",
            "csr",
            lambda: build_csr(self.edges, num_src=self.num_nodes, num_dst=self.num_nodes),
        )

    def reference(self) -> dict[str, Tensor]:
        """Results of PyG's layer in float64, on the edges into the checked nodes."""
        layer = copy.deepcopy(self.theirs).double()
        wanted = torch.zeros(self.num_nodes, dtype=torch.bool, device=self.x.device)
        wanted[self.checked] = True
        edges = self.looped[:, wanted[self.looped[1]]]
        x = self.x.detach().double().requires_grad_()
        return _Step(
            layer, lambda x: layer(x, edges), x, self.grad.double(), self.checked
        ).results()

    def note(self) -> str:
        return f"largest in-degree {self.largest:,}"


def _bound(layer: nn.Module, graph: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: layer(x, graph)
