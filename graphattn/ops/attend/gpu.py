"""Triton form of the fused attention ops, over ``gpu_kernels``.

The host waits for the device when a graph is new, and then no more. The constants are reasoned, not
tuned: no GPU has been measured yet. Nothing is tuned at run time, which would cost time and make
the order of sums, and with it the bits of the results, depend on the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from graphattn.ops.graph import Graph, Pieces

if TYPE_CHECKING:
    from graphattn.ops.attend.node import Call

__all__ = ["PIECE", "backward", "empty", "forward"]

PIECE = 2048
"""Edges from which on a row is cut into pieces: long enough that their partial results cost little,
short enough that the last one does not keep the device waiting."""

TILE = 1024
"""Numbers of 32 bits in a tile of edges' rows that a warp works on: 32 registers of each of its
threads, so that the three tiles of the widest score stay in registers (ptxas for sm_90 reports at
most 16 bytes on the stack for float32 and bfloat16)."""
EDGES = (4, 32)
"""Fewest and most edges of a tile: most rows of real graphs have tens."""
WIDEST = 1024
"""Entries of a row that one program takes; wider ones are shared out by heads."""
ATT_ROWS = 8
"""Sources whose contributions to gatv2's ``att`` one program sums: an eighth of a row of features
each is written for them."""


def empty(shape: Sequence[int], like: Tensor, dtype: torch.dtype, *, zero: bool = False) -> Tensor:
    """Fresh memory for results.

    Args:
        shape: Sizes.
        like: A tensor on the device.
        dtype: Type of the entries.
        zero: Fill it with zeros.
    """
    make = torch.zeros if zero else torch.empty
    return make(shape, dtype=dtype, device=like.device)


class _Plan(NamedTuple):
    """What all launches of a call share."""

    graph: Graph
    operands: dict[str, Any]
    strides: dict[str, int]
    bias: dict[str, Any]
    dropout: dict[str, Any]
    sizes: dict[str, Any]
    head_blocks: int
    accumulator: torch.dtype


def forward(
    call: Call, operands: Sequence[Tensor | None], *, sums: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """Sums with their bias, coefficients, and shift and inverse sum of every softmax.

    Args:
        call: What is asked for.
        operands: As kernels take them, see :class:`graphattn.ops.attend.node.Call`.
        sums: Room for the sums without bias, which backward needs. Shape ``[N_dst, H, C]``.
    """
    from graphattn.ops.attend import gpu_kernels as kernels

    plan, graph = _plan(call, operands), call.graph
    like = next(one for one in operands if one is not None)
    out = alpha = part = part_norm = None
    if call.wants_out:
        out = empty((call.num_dst, call.heads, call.channels), like, call.out_dtype)
    norm = empty((call.num_dst, 2, call.heads), like, plan.accumulator)
    pieces = graph.pieces(PIECE, by_source=False)
    if len(pieces.row) > 0:
        part = empty((len(pieces.row), call.heads, call.channels), like, plan.accumulator)
        part_norm = empty((len(pieces.row), 2, call.heads), like, plan.accumulator)
    rows = {"ptr": graph.rowptr, "col": graph.col, "edge": graph.edge}
    score = {"KIND": call.kernel.name, "SETTING": float(call.setting)}
    with torch.cuda.device_of(like):  # type: ignore[no-untyped-call]
        kernels.forward[len(pieces.row) + call.num_dst, plan.head_blocks](
            **plan.operands,
            **plan.strides,
            **plan.dropout,
            **plan.sizes,
            **_piece_arguments(pieces),
            **plan.bias,
            **rows,
            **score,
            out=out,
            norm=norm,
            sums_out=sums,
            part=part,
            part_norm=part_norm,
        )
        if part is not None:
            sizes = {k: v for k, v in plan.sizes.items() if k != "BE"}
            kernels.combine[len(pieces.hub), plan.head_blocks](
                part=part,
                part_norm=part_norm,
                **plan.bias,
                out=out,
                norm=norm,
                sums_out=sums,
                hub=pieces.hub,
                first_piece=pieces.first,
                SOFTMAX=call.kernel.softmax,
                **sizes,
            )
        if call.wants_alpha:
            shape = (graph.num_rows, call.heads)
            alpha = empty(shape, like, plan.accumulator, zero=call.num_self_loops > 0)
            kernels.coefficients[len(pieces.row) + call.num_dst, plan.head_blocks](
                **plan.operands,
                **plan.strides,
                **plan.sizes,
                **_piece_arguments(pieces),
                **rows,
                **score,
                norm=norm,
                alpha=alpha,
            )
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
        grad_alpha: That of the coefficients, which no kernel takes.
        places: Not used: gradients get memory of their own.
    """
    if grad_alpha is not None or grad is None:
        raise NotImplementedError("Triton kernels don't differentiate coefficients")
    plan, like = _plan(call, operands), grad
    # Edges that do not count, of which there are some only with self-loops, stay zero.
    edge_x, edge_score = (
        None
        if operand is None
        else empty(operand.shape, like, operand.dtype, zero=call.num_self_loops > 0)
        for operand in operands[3:5]
    )
    # Gradients of the scores go where those of `edge_score` belong, if there is one.
    grad_score = edge_score
    if grad_score is None:
        grad_score = empty((call.graph.num_edges, call.heads), like, plan.accumulator)
    with torch.cuda.device_of(like):  # type: ignore[no-untyped-call]
        record = _record(call, plan, sums, norm, grad)
        grads = _by_source(call, plan, grad, record, grad_score, edge_x)
        grads |= _by_destination(call, plan, grad_score)
    return [grads.get(0), grads.get(1), grads.get(2), edge_x, edge_score]


def _record(
    call: Call, plan: _Plan, sums: Tensor | None, norm: Tensor, grad: Tensor
) -> Tensor | None:
    from graphattn.ops.attend import gpu_kernels as kernels

    size = call.kernel.record
    if size == 0:
        return None
    record = empty((call.num_dst, size, call.heads), grad, plan.accumulator)
    blocks = -(-call.num_dst // plan.sizes["BE"])
    kernels.record_rows[blocks, plan.head_blocks](
        sums=sums,
        grad=grad,
        norm=norm,
        second=plan.operands["second"],
        record=record,
        second_stride=plan.strides["second_stride"],
        num_rows=call.num_dst,
        KIND=call.kernel.name,
        RECORD=size,
        **plan.sizes,
    )
    return record


def _by_source(
    call: Call,
    plan: _Plan,
    grad: Tensor,
    record: Tensor | None,
    grad_score: Tensor,
    grad_edge_x: Tensor | None,
) -> dict[int, Tensor]:
    """Gradients of node operands by their place in the call; fills those of scores and edges."""
    from graphattn.ops.attend import gpu_kernels as kernels

    x, first = plan.operands["x"], plan.operands["first"]
    num_src, heads, channels = x.shape
    pieces = call.graph.pieces(PIECE, by_source=True)
    tptr, trow, position = call.graph.by_source
    grads = {0: empty(x.shape, x, x.dtype)}
    if call.kernel.name in ("gat", "dot"):
        grads[1] = empty(first.shape, x, first.dtype)
    parts = {
        k: empty((len(pieces.row), *found.shape[1:]), x, plan.accumulator)
        for k, found in grads.items()
        if len(pieces.row) > 0
    }
    rows = ATT_ROWS if call.kernel.name == "gatv2" else 1
    programs = len(pieces.row) - (-num_src // rows)
    grad_att = None
    if call.kernel.name == "gatv2":
        grad_att = empty((programs, heads, channels), x, plan.accumulator)
    kernels.backward_sources[programs, plan.head_blocks](
        **plan.operands,
        **plan.strides,
        **plan.dropout,
        **plan.sizes,
        **_piece_arguments(pieces),
        grad=grad,
        record=record,
        grad_score=grad_score,
        grad_x=grads[0],
        grad_first=grads.get(1),
        grad_att=grad_att,
        grad_edge_x=grad_edge_x,
        part_x=parts.get(0),
        part_first=parts.get(1),
        ptr=tptr,
        trow=trow,
        positions=position,
        edge=call.graph.edge,
        num_rows=num_src,
        KIND=call.kernel.name,
        SETTING=float(call.setting),
        RECORD=call.kernel.record,
        ROWS=rows,
    )
    for k, part in parts.items():
        _add_pieces(part, grads[k], pieces, plan)
    if grad_att is not None:
        grads[2] = grad_att.sum(dim=0)
    return grads


def _by_destination(call: Call, plan: _Plan, grad_score: Tensor) -> dict[int, Tensor]:
    """The same for operands of destinations."""
    from graphattn.ops.attend import gpu_kernels as kernels

    place = {"gat": 2, "gatv2": 1, "dot": 2}.get(call.kernel.name)
    if place is None:
        return {}
    operand = plan.operands["second" if place == 2 else "first"]
    grad = empty(operand.shape, operand, operand.dtype)
    pieces = call.graph.pieces(PIECE, by_source=False)
    part = None
    if len(pieces.row) > 0:
        part = empty((len(pieces.row), *operand.shape[1:]), operand, plan.accumulator)
    names = ("x", "first", "second", "edge_x")
    kernels.backward_destinations[len(pieces.row) + call.num_dst, plan.head_blocks](
        **{name: plan.operands[name] for name in names},
        **{name: plan.strides[name] for name in ("x_stride", "first_stride")},
        **plan.sizes,
        **_piece_arguments(pieces),
        grad_score=grad_score,
        grad=grad,
        part=part,
        ptr=call.graph.rowptr,
        col=call.graph.col,
        edge=call.graph.edge,
        KIND=call.kernel.name,
        SETTING=float(call.setting),
        BY_EDGE=plan.operands["edge_score"] is not None,
    )
    if part is not None:
        _add_pieces(part, grad, pieces, plan)
    return {place: grad}


def _add_pieces(part: Tensor, out: Tensor, pieces: Pieces, plan: _Plan) -> None:
    from graphattn.ops.attend import gpu_kernels as kernels

    width = part[0].numel()
    block = min(_power_of_two(width), 256)
    kernels.add_pieces[len(pieces.hub), -(-width // block)](
        part=part,
        out=out,
        hub=pieces.hub,
        first_piece=pieces.first,
        WIDTH=width,
        BLOCK=block,
        ACC=plan.sizes["ACC"],
        enable_fp_fusion=True,
    )


def _plan(call: Call, operands: Sequence[Tensor | None]) -> _Plan:
    import triton.language as tl

    *nodes, edge_x, edge_score, bias = operands
    BC = _power_of_two(call.channels)
    BH = min(_power_of_two(call.heads), max(WIDEST // BC, 1))
    tile = TILE if call.dtype == torch.float32 else TILE // 2
    BE = min(max(tile // (BH * BC), EDGES[0]), EDGES[1])
    names = ("x", "first", "second")
    return _Plan(
        graph=call.graph,
        operands={
            **dict(zip(names, nodes, strict=True)),
            "edge_x": edge_x,
            "edge_score": edge_score,
        },
        strides={
            f"{name}_stride": 0 if node is None else node.stride(0)
            for name, node in zip(names, nodes, strict=True)
        },
        bias={
            "bias": bias,
            "bias_stride": 0 if bias is None or bias.dim() == 2 else bias.stride(0),
        },
        dropout={
            "seed": None if call.seed is None else call.seed.to(call.edge_index.device),
            "threshold": 2**32 - 1 if call.dropout >= 1.0 else int(call.dropout * 2.0**32),
            "scale": 0.0 if call.dropout >= 1.0 else 1.0 / (1.0 - call.dropout),
        },
        sizes={
            "H": call.heads,
            "C": call.channels,
            "BE": BE,
            "BH": BH,
            "BC": BC,
            "ACC": tl.float64 if call.dtype == torch.float64 else tl.float32,
            "num_warps": min(max(BE * BH * BC // tile, 1), 8),
            # Its default differs between versions of Triton.
            "enable_fp_fusion": True,
        },
        head_blocks=-(-call.heads // BH),
        accumulator=call.dtype,
    )


def _piece_arguments(pieces: Pieces) -> dict[str, Any]:
    """None of them in a graph without hubs, whose kernels know of no pieces."""
    some = len(pieces.row) > 0
    return {
        "piece_row": pieces.row if some else None,
        "piece_begin": pieces.begin if some else None,
        "num_pieces": len(pieces.row),
        "PIECE": PIECE,
    }


def _power_of_two(n: int) -> int:
    """The smallest one that is not below ``n``."""
    return 1 << max(n - 1, 0).bit_length()
