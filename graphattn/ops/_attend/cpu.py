"""Native CPU form of the fused attention ops, over ``_native/attention.hpp``."""

from __future__ import annotations

import ctypes
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._csr import cached_csr

if TYPE_CHECKING:
    from graphattn.ops._attend import Call

__all__ = ["Arguments", "backward", "forward", "pad"]

# Numbers per node and head that backward gathers: those of the softmax, and more of some scores.
_RECORD = MappingProxyType({"gat": 4, "gatv2": 3, "dot": 3, "given": 3, "spmm": 0})
# The last of the nodes' operands where it is a parameter: its gradient comes in blocks.
_PARAMETER = MappingProxyType({"gatv2": 2})
# The operand that backward gathers to its end: only behind that its gradient may take its place.
_LATE = MappingProxyType({"gatv2": 0, "dot": 1})


class Arguments(ctypes.Structure):
    """``GraphattnAttention`` of ``attention.hpp``."""

    _fields_: ClassVar = [
        ("graph", _native.Graph),
        *((name, ctypes.c_int64) for name in ("heads", "channels", "threads")),
        *((name, ctypes.c_double) for name in ("setting", "dropout")),
        ("seed", ctypes.c_uint64),
        ("node", ctypes.c_void_p * 3),
        ("stride", ctypes.c_int64 * 3),
        *((name, ctypes.c_void_p) for name in ("edge_x", "edge_score", "bias")),
        ("bias_stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("out", "norm", "grad")),
        ("grad_node", ctypes.c_void_p * 3),
        ("grad_stride", ctypes.c_int64 * 3),
        *((name, ctypes.c_void_p) for name in ("grad_edge_x", "grad_edge_score")),
        *((name, ctypes.c_void_p) for name in ("scratch", "record")),
    ]


def pad(call: Call) -> Call:
    """Fill the channels up with zeros where that makes the kernel faster.

    Args:
        call: The arguments.
    """
    x = call.nodes[0]
    if not _native.wants_padding(x.size(-1)):
        return call
    parameter = _PARAMETER.get(call.kernel)
    nodes = tuple(
        _native.pad_channels(operand) if operand.dim() == 3 or k == parameter else operand
        for k, operand in enumerate(call.nodes)
    )
    edge_x, bias = (
        None if operand is None else _native.pad_channels(operand)
        for operand in (call.edge_x, call.bias)
    )
    return call._replace(nodes=nodes, edge_x=edge_x, bias=bias)


def forward(call: Call) -> tuple[Tensor, Tensor]:
    """Sums, and shift and inverse sum of every softmax.

    Args:
        call: The arguments.
    """
    x = call.nodes[0]
    out = _native.empty((call.num_dst, *x.shape[1:]), x.dtype)
    norm = _native.empty((call.num_dst, 2, x.size(1)), torch.promote_types(x.dtype, torch.float32))
    _run(call, False, out=out, norm=norm)
    return out, norm


def backward(
    call: Call, out: Tensor, norm: Tensor, grad: Tensor, *, replace: bool = False
) -> list[Tensor]:
    """Gradients of the nodes' operands, then of those of edges that are there.

    Args:
        call: The arguments of forward.
        out: The sums.
        norm: As forward returned it.
        grad: Gradient of the sums, contiguous.
        replace: Leave the gradients of the nodes' operands in the place of these.
    """
    heads = call.nodes[0].size(1)
    parameter = _PARAMETER.get(call.kernel)
    late = _LATE.get(call.kernel) if replace else None
    if replace:
        grads = [operand.detach() for operand in call.nodes[:parameter]]
    else:
        grads = _native.empty_like(call.nodes[:parameter])
    if late is not None:
        grads[late] = _spare(call, grads[late])
    if parameter is not None:
        blocks = -(-call.nodes[0].size(0) // _native.BLOCK)
        grads.append(norm.new_zeros(blocks, *call.nodes[parameter].shape))
    # Edges that do not count, of which there are some only with self-loops, stay zero.
    edge_x, edge_score = (
        None
        if operand is None
        else _native.empty(operand.shape, operand.dtype, zero=call.num_self_loops > 0)
        for operand in (call.edge_x, call.edge_score)
    )
    rows = call.edge_index.size(1) + call.num_self_loops
    _run(
        call,
        True,
        out=out,
        norm=norm,
        grad=grad,
        grad_node=grads,
        grad_stride=tuple(found.stride(0) for found in grads),
        grad_edge_x=edge_x,
        grad_edge_score=edge_score,
        scratch=_native.empty((rows, heads), norm.dtype),
        record=_native.empty((call.num_dst, _RECORD[call.kernel], heads), norm.dtype),
    )
    if parameter is not None:
        grads[parameter] = grads[parameter].sum(dim=0)
    if late is not None:
        grads[late] = call.nodes[late].detach().copy_(grads[late])
    return [*grads, *(found for found in (edge_x, edge_score) if found is not None)]


def _spare(call: Call, operand: Tensor) -> Tensor:
    """Memory in the shape of an operand: that of the bias of destinations, of use only before."""
    bias = call.bias
    if bias is not None and bias.shape == operand.shape and bias.dtype == operand.dtype:
        return bias.detach()
    return _native.empty(operand.shape, operand.dtype)


def _run(call: Call, backward: bool, **arguments: Any) -> None:
    """Call the kernel in one direction."""
    parameter = _PARAMETER.get(call.kernel)
    nodes = [
        operand.contiguous() if k == parameter else _native.rows(operand)
        for k, operand in enumerate(call.nodes)
    ]
    edge_x, edge_score = (
        None if operand is None else operand.contiguous()
        for operand in (call.edge_x, call.edge_score)
    )
    bias, bias_stride = call.added()
    num_src, heads, channels = nodes[0].shape
    csr = cached_csr(call.edge_index, call.num_self_loops, num_src=num_src, num_dst=call.num_dst)
    filled = _native.arguments(
        Arguments,
        graph=_native.graph(csr),
        heads=heads,
        channels=channels,
        threads=torch.get_num_threads(),
        setting=call.setting,
        dropout=call.dropout,
        seed=0 if call.seed is None else int(call.seed),
        node=nodes,
        stride=tuple(operand.stride(0) for operand in nodes),
        edge_x=edge_x,
        edge_score=edge_score,
        bias=bias,
        bias_stride=bias_stride,
        **arguments,
    )
    _native.call(call.kernel, filled, nodes[0].dtype, csr.col.dtype, backward)
