"""Functions on tensors that attention layers are made of; each has a plain-torch definition."""

from graphattn.ops._csr import CSR, build_csr
from graphattn.ops._dispatch import use_implementation
from graphattn.ops.aero import aero_attention, aero_propagate
from graphattn.ops.attend import (
    DotScore,
    GATScore,
    GATv2Score,
    GivenScore,
    Kernel,
    Projection,
    Score,
    attend,
    attention_weights,
)
from graphattn.ops.edge_softmax import edge_softmax
from graphattn.ops.graph import forget_graphs
from graphattn.ops.sample import NeighborSample, sample_neighbors
from graphattn.ops.self_loops import append_self_loops
from graphattn.ops.sparse_linear import sparse_dropout, sparse_linear
from graphattn.ops.spmm import spmm

__all__ = [
    "CSR",
    "DotScore",
    "GATScore",
    "GATv2Score",
    "GivenScore",
    "Kernel",
    "NeighborSample",
    "Projection",
    "Score",
    "aero_attention",
    "aero_propagate",
    "append_self_loops",
    "attend",
    "attention_weights",
    "build_csr",
    "edge_softmax",
    "forget_graphs",
    "sample_neighbors",
    "sparse_dropout",
    "sparse_linear",
    "spmm",
    "use_implementation",
]
