"""Functions on tensors that attention layers are made of; each has a plain-torch definition."""

from graphattn.ops._csr import CSR, build_csr
from graphattn.ops._dispatch import use_implementation
from graphattn.ops.dot import dot_attend, dot_attention
from graphattn.ops.edge_softmax import edge_softmax
from graphattn.ops.gat import gat_attend, gat_attention
from graphattn.ops.gatv2 import gatv2_attend, gatv2_attention
from graphattn.ops.sample import NeighborSample, sample_neighbors
from graphattn.ops.score import score_attend
from graphattn.ops.self_loops import append_self_loops
from graphattn.ops.softplus import aero_propagate, softplus_attention
from graphattn.ops.sparse_linear import sparse_dropout, sparse_linear
from graphattn.ops.split_linear import split_linear
from graphattn.ops.spmm import spmm

__all__ = [
    "CSR",
    "NeighborSample",
    "aero_propagate",
    "append_self_loops",
    "build_csr",
    "dot_attend",
    "dot_attention",
    "edge_softmax",
    "gat_attend",
    "gat_attention",
    "gatv2_attend",
    "gatv2_attention",
    "sample_neighbors",
    "score_attend",
    "softplus_attention",
    "sparse_dropout",
    "sparse_linear",
    "split_linear",
    "spmm",
    "use_implementation",
]
