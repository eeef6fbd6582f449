from __future__ import annotations

import sys

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import SimpleConv
from torch_geometric.typing import WITH_TORCH_SPARSE

from graphattn.bench import Missing
from graphattn.bench.peers import import_dgl, pyg_forms, turbo_gnn


def test_forms_are_the_same_graph() -> None:
    n = 50
    edges = torch.stack([torch.randint(n, (300,)), torch.randint(n, (300,)).sort().values])
    edges = edges.unique(dim=1)
    edges = edges[:, edges[1].argsort(stable=True)]
    x = torch.randn(n, 4)
    expected = SimpleConv()(x, edges)
    names = []
    for form in pyg_forms(edges, n):
        if not isinstance(form, Missing):
            names.append(form[0].split()[0])
            torch.testing.assert_close(SimpleConv()(x, form[1]), expected)
            if isinstance(form[1], EdgeIndex):
                form[1].validate()  # it is sorted as it says
    assert names[:3] == ["edge", "EdgeIndex", "torch.sparse"]


def test_forms_that_are_not_here_say_why() -> None:
    missing = [form for form in pyg_forms(torch.tensor([[0], [1]]), 2) if isinstance(form, Missing)]
    says = ("PyG, SparseTensor", "torch-sparse is not installed") in missing
    assert says == (not WITH_TORCH_SPARSE)


def test_dgl_that_is_not_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphattn.bench.peers.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="DGL is not installed"):
        import_dgl()
    assert "dgl.graphbolt" not in sys.modules


def test_dgl_that_does_not_load_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("site")
    (folder / "dgl.py").write_text("raise FileNotFoundError('no library for this torch')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("DGLBACKEND", "pytorch")
    for name in ("dgl", "dgl.graphbolt"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match="FileNotFoundError: no library for this torch"):
        import_dgl()
    sys.modules.pop("dgl.graphbolt")


def test_turbo_gnn_says_why() -> None:
    assert turbo_gnn().name == "turbo-gnn"
    assert turbo_gnn().reason
