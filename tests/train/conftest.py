from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from graphattn.train import RunFolder


def make_graph(seed: int = 0, nodes: int = 120) -> Data:
    """Three classes, edges mostly inside them, features that give them away by half."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % 3
    src, dst = torch.randint(nodes, (2, 8 * nodes), generator=generator)
    keep = (y[src] == y[dst]) | (torch.rand(8 * nodes, generator=generator) < 0.1)
    x = torch.randn(nodes, 8, generator=generator)
    x[torch.arange(nodes), y] += 1.0
    order = torch.randperm(nodes, generator=generator)
    data = Data(x=x, edge_index=torch.stack([src[keep], dst[keep]]), y=y)
    for name, part in zip(("train", "val", "test"), order.tensor_split(3), strict=True):
        mask = torch.zeros(nodes, dtype=torch.bool)
        mask[part] = True
        data[f"{name}_mask"] = mask
    return data


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only cost time on graphs this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def graph() -> Data:
    return make_graph()


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[Data]:
    """All graphs that were moved to the device, which PyG does in place, from now on."""
    graphs: list[Data] = []

    def to(self: Data, *_: object, **__: object) -> Data:
        graphs.append(self)
        return self

    monkeypatch.setattr(Data, "to", to)
    return graphs


@pytest.fixture
def make_model() -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(7)
        return GCN(8, 16, num_layers=2, out_channels=3, dropout=0.5)

    return make


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "toy", 0)


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([0.5])}
