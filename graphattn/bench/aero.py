"""AERO-GNN: our propagation against its definition in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphattn.bench.case import Lineup, Settings
from graphattn.bench.graphs import LARGE, with_self_loops
from graphattn.bench.measuring import Contender
from graphattn.models import AEROGNNConfig
from graphattn.ops import use_implementation
from graphattn.recipes import load_data, recipe

__all__ = ["cora_lineup", "large_lineup"]

_CLASSES = 40


class _Step:
    """A training step without the optimiser, which costs the same for all."""

    def __init__(
        self, model: nn.Module, x: Tensor, edges: Tensor, y: Tensor, implementation: str | None
    ) -> None:
        self.model, self.x, self.edges, self.y = model, x, edges, y
        self.implementation = implementation

    def forward(self) -> Tensor:
        self.model.train()
        return cross_entropy(self._output(), self.y)

    def backward(self, loss: Tensor) -> None:
        torch.autograd.backward(loss)

    def release(self) -> None:
        self.model.zero_grad(set_to_none=True)

    def results(self) -> dict[str, Tensor]:
        """Output and parameter gradients without dropout, whose draws nobody shares."""
        self.release()
        self.model.eval()
        out = self._output()
        torch.autograd.backward(cross_entropy(out, self.y))
        grads = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
        return {"output": out.detach(), "gradient": torch.cat(grads).view(-1, 1)}

    def contender(self, name: str, kind: str) -> Contender:
        return Contender(name, kind, self.forward, self.backward, self.release, self.results)

    def _output(self) -> Tensor:
        if self.implementation is None:
            out: Tensor = self.model(self.x, self.edges)
        else:
            with use_implementation(self.implementation):
                out = self.model(self.x, self.edges)
        return out


def cora_lineup(settings: Settings) -> Lineup:
    """The recipe's network on Cora.

    Args:
        settings: Wishes of the user.
    """
    experiment = recipe("aero_gnn/cora")
    data = load_data(experiment.data, root=settings.root)
    torch.manual_seed(0)
    model = experiment.model.build(data.num_node_features, data.num_classes)
    x, edges, y = data.x, data.edge_index, data.y
    double = experiment.model.build(data.num_node_features, data.num_classes).double()
    double.load_state_dict(model.state_dict())
    exact = _Step(double, x.double(), edges, y, "reference").results()
    return Lineup(
        [
            _Step(model, x, edges, y, None).contender("graphattn AEROGNN", "ours"),
            _Step(model, x, edges, y, "reference").contender("the same in plain torch", "plain"),
        ],
        (),
        exact,
    )


def large_lineup(settings: Settings) -> Lineup:
    """A deep network on the large graph, which plain torch cannot train in this memory.

    Args:
        settings: Wishes of the user.
    """
    graph = LARGE.scaled(settings.scale)
    torch.manual_seed(0)
    edges = with_self_loops(graph.edge_index(), graph.num_nodes)
    x = torch.randn(graph.num_nodes, 128)
    y = torch.randint(0, _CLASSES, (graph.num_nodes,))
    model = AEROGNNConfig(hidden_channels=64, num_steps=64).build(128, _CLASSES)
    return Lineup([_Step(model, x, edges, y, None).contender("graphattn AEROGNN", "ours")])
