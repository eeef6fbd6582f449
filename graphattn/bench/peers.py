"""Other libraries, as far as they are here."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.utils import to_torch_csr_tensor

from graphattn.bench.measuring import Missing

__all__ = ["dgl_graph", "import_dgl", "pyg_forms", "turbo_gnn"]


def pyg_forms(edge_index: Tensor, num_nodes: int) -> Iterator[tuple[str, Any] | Missing]:
    """The forms of a graph in which PyG's layers are fast.

    Args:
        edge_index: Edges sorted by destination. Shape ``[2, E]``.
        num_nodes: Number of nodes.

    Yields:
        A name and the graph, or why there is no such form here.
    """
    scatter = ", torch-scatter" if torch_geometric.typing.WITH_TORCH_SCATTER else ""
    size = (num_nodes, num_nodes)
    yield f"edge list sorted by destination{scatter}", edge_index
    sorted_index = EdgeIndex(edge_index, sparse_size=size, sort_order="col").fill_cache_()
    yield f"EdgeIndex sorted by destination{scatter}", sorted_index
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)
        matrix = to_torch_csr_tensor(edge_index.flip(0), size=size)
    yield f"torch.sparse CSR{scatter}", matrix
    if not scatter:
        yield Missing("PyG with torch-scatter", "torch-scatter is not installed")
    if not torch_geometric.typing.WITH_TORCH_SPARSE:
        yield Missing("PyG, SparseTensor", "torch-sparse is not installed")
        return
    matrix = torch_geometric.typing.SparseTensor(
        row=edge_index[1], col=edge_index[0], sparse_sizes=size, is_sorted=True
    )
    yield f"SparseTensor{scatter}", matrix


def import_dgl() -> ModuleType:
    """Import DGL without its GraphBolt.

    GraphBolt is compiled for a few versions of torch and makes the import fail under all others.
    The layers and samplers that are measured here do not use it.

    Raises:
        ImportError: If DGL is not installed or does not load.
    """
    if find_spec("dgl") is None:
        raise ImportError("DGL is not installed")
    if "dgl" not in sys.modules:
        os.environ.setdefault("DGLBACKEND", "pytorch")
        sys.modules["dgl.graphbolt"] = ModuleType("dgl.graphbolt")
    try:
        return import_module("dgl")
    except ImportError:
        raise
    except Exception as error:  # DGL raises what its loaders raise
        raise ImportError(f"{type(error).__name__}: {error}") from error


def dgl_graph(dgl: ModuleType, edge_index: Tensor, num_nodes: int) -> Any:
    """A graph of DGL with 32-bit indices and all its formats built.

    Args:
        dgl: The module.
        edge_index: Edges. Shape ``[2, E]``.
        num_nodes: Number of nodes.
    """
    graph = dgl.graph((edge_index[0], edge_index[1]), num_nodes=num_nodes, idtype=torch.int32)
    graph.create_formats_()
    return graph


def turbo_gnn() -> Missing:
    """Why turbo-gnn does not compete: its kernels are for CUDA, and this is the CPU."""
    try:
        import_module("turbo_gnn")
    except ImportError as error:
        return Missing("turbo-gnn", f"not importable: {error}")
    return Missing("turbo-gnn", "runs on CUDA devices only")
