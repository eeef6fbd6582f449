"""Native CPU form of the fused attention ops, over ``_native/attention.hpp``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from graphattn.ops import _native

if TYPE_CHECKING:
    from graphattn.ops.attend.node import Call

__all__ = ["Arguments", "backward", "forward", "in_one_part"]

SCRATCH_BYTES = 3 << 28
"""What gradients of scores may take; of graphs that need more, backward works on parts."""


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
        *((name, ctypes.c_void_p) for name in ("out", "norm", "sums")),
        ("sums_stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("alpha", "grad", "grad_alpha")),
        ("grad_node", ctypes.c_void_p * 3),
        ("grad_stride", ctypes.c_int64 * 3),
        *((name, ctypes.c_void_p) for name in ("grad_edge_x", "grad_edge_score")),
        *((name, ctypes.c_void_p) for name in ("scratch", "record")),
        ("capacity", ctypes.c_int64),
    ]


def forward(
    call: Call, operands: Sequence[Tensor | None], *, sums: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """Sums with their bias, coefficients, and shift and inverse sum of every softmax.

    Args:
        call: What is asked for.
        operands: As kernels take them, see :class:`graphattn.ops.attend.node.Call`.
        sums: Room for the sums without bias, which backward needs. Shape ``[N_dst, H, C]``.
    """
    graph, heads, dtype = call.graph, call.heads, call.dtype
    out = alpha = None
    if call.wants_out:
        out = _native.empty((call.num_dst, heads, call.width), dtype)
    if call.wants_alpha:
        # Edges that do not count, of which there are some only with self-loops, have the weight 0.
        alpha = _native.empty((graph.num_rows, heads), dtype, zero=call.num_self_loops > 0)
    norm = _native.empty((call.num_dst, 2, heads) if call.kernel.softmax else (0,), dtype)
    stride = 0 if sums is None else sums.stride(0)
    _run(call, operands, False, out=out, alpha=alpha, norm=norm, sums=sums, sums_stride=stride)
    return out, alpha, norm


def backward(
    call: Call,
    operands: Sequence[Tensor | None],
    norm: Tensor,
    sums: Tensor | None,
    grad: Tensor | None,
    grad_alpha: Tensor | None,
    places: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Gradients of the operands but the bias.

    Args:
        call: What was asked of forward.
        operands: Its operands.
        norm: As it returned it.
        sums: As it left them.
        grad: Gradient of the sums, contiguous.
        grad_alpha: That of the coefficients, contiguous.
        places: Where those of node operands go; one that is ``None`` gets memory of its own. Where
            the :func:`capacity` is that of all edges, they may be the operands themselves, or
            ``sums``, as `attention.hpp` says.
    """
    parameter = call.kernel.parameter
    grads: list[Tensor | None] = []
    for k, (operand, place) in enumerate(zip(operands[:3], places, strict=True)):
        if operand is not None and k == parameter:
            blocks = -(-call.num_src // _native.BLOCK)
            place = torch.zeros(blocks, *operand.shape, dtype=call.dtype)
        elif operand is not None and place is None:
            place = _native.empty(operand.shape, call.dtype)
        grads.append(place)
    edge_x, edge_score = (
        None
        if operand is None
        else _native.empty(operand.shape, call.dtype, zero=call.num_self_loops > 0)
        for operand in operands[3:5]
    )
    room = capacity(call)
    scratch = _native.borrow((room, call.heads), call.dtype)
    record = _native.borrow((call.num_dst, call.kernel.record, call.heads), call.dtype)
    _run(
        call,
        operands,
        True,
        norm=norm,
        sums=sums,
        sums_stride=0 if sums is None else sums.stride(0),
        grad=grad,
        grad_alpha=grad_alpha,
        grad_node=grads,
        grad_stride=tuple(0 if found is None else found.stride(0) for found in grads),
        grad_edge_x=edge_x,
        grad_edge_score=edge_score,
        scratch=scratch,
        record=record,
        capacity=room,
    )
    _native.give_back(scratch, record)
    if parameter is not None and (parts := grads[parameter]) is not None:
        grads[parameter] = parts.sum(dim=0)
    return [*grads, edge_x, edge_score]


def capacity(call: Call) -> int:
    """Edges that backward has room for at a time; all of them but for large graphs."""
    wanted = SCRATCH_BYTES // (call.heads * call.dtype.itemsize)
    if call.graph.num_edges <= wanted:
        return call.graph.num_edges
    run = _native.library().graphattn_capacity
    run.restype = ctypes.c_int64
    found: int = run(ctypes.byref(call.graph.transposed), ctypes.c_int64(wanted))
    return found


def in_one_part(call: Call) -> bool:
    """Whether backward works on all edges at once."""
    return capacity(call) == call.graph.num_edges


def _run(call: Call, operands: Sequence[Tensor | None], backward: bool, **arguments: Any) -> None:
    """Call the kernel in one direction."""
    nodes, (edge_x, edge_score, bias) = list(operands[:3]), operands[3:]
    filled = _native.arguments(
        Arguments,
        graph=call.graph.transposed if backward else call.graph.native,
        heads=call.heads,
        channels=0 if nodes[0] is None else nodes[0].size(-1),
        threads=torch.get_num_threads(),
        setting=call.setting,
        dropout=call.dropout,
        seed=0 if call.seed is None else int(call.seed),
        node=nodes,
        stride=tuple([0 if one is None else one.stride(0) for one in nodes]),
        edge_x=edge_x,
        edge_score=edge_score,
        bias=bias,
        bias_stride=0 if bias is None or bias.dim() == 2 else bias.stride(0),
        **arguments,
    )
    _native.call(call.kernel.name, filled, call.dtype, backward)
