"""Triton form of the fused attention ops, over ``gpu_kernels`` and ``gpu_scores``.

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
    from graphattn.ops.attend.gpu_kernels import Operands
    from graphattn.ops.attend.gpu_scores import Formulas
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
PARAMETER_ROWS = 8
"""Sources whose contributions to a parameter one program sums: an eighth of a row of features each
is written for them."""


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
    operands: Operands
    formulas: Formulas
    slots: dict[str, int]
    """Place in the call of the operands of sources and destinations, and of a parameter."""
    score: dict[str, Any]
    """Arguments of all kernels that compute scores."""
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
    norm_shape = (call.num_dst, 2, call.heads) if call.kernel.softmax else (0,)
    norm = empty(norm_shape, like, plan.accumulator)
    pieces = graph.pieces(PIECE, by_source=False)
    if len(pieces.row) > 0:
        part = empty((len(pieces.row), call.heads, call.channels), like, plan.accumulator)
        part_norm = empty((len(pieces.row), 2, call.heads), like, plan.accumulator)
    with torch.cuda.device_of(like):  # type: ignore[no-untyped-call]
        kernels.forward[len(pieces.row) + call.num_dst, plan.head_blocks](
            **plan.score,
            **plan.dropout,
            **plan.sizes,
            **_piece_arguments(pieces),
            **plan.bias,
            **_row_arguments(call),
            **_sums_arguments(call),
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
                **plan.score,
                **plan.sizes,
                **_piece_arguments(pieces),
                **_row_arguments(call),
                norm=norm,
                alpha=alpha,
                grad_alpha=None,
                mean=None,
                part=None,
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
        grad_alpha: That of the coefficients, contiguous.
        places: Not used: gradients get memory of their own.
    """
    plan, like = _plan(call, operands), norm
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
        mean = _mean_of_rows(call, plan, norm, grad_alpha)
        record = _record(call, plan, sums, norm, grad, mean)
        grads = _by_source(call, plan, grad, grad_alpha, record, grad_score, edge_x)
        grads |= _by_destination(call, plan, grad_score)
    return [grads.get(0), grads.get(1), grads.get(2), edge_x, edge_score]


def _mean_of_rows(
    call: Call, plan: _Plan, norm: Tensor, grad_alpha: Tensor | None
) -> Tensor | None:
    """Sums of coefficient times its own gradient over every row. Shape ``[N_dst, H]``."""
    from graphattn.ops.attend import gpu_kernels as kernels

    if grad_alpha is None:
        return None
    mean = empty((call.num_dst, call.heads), norm, plan.accumulator)
    pieces = call.graph.pieces(PIECE, by_source=False)
    part = _room_for_pieces(pieces, mean, plan)
    kernels.coefficients[len(pieces.row) + call.num_dst, plan.head_blocks](
        **plan.score,
        **plan.sizes,
        **_piece_arguments(pieces),
        **_row_arguments(call),
        norm=norm,
        alpha=None,
        grad_alpha=grad_alpha,
        mean=mean,
        part=part,
    )
    _add_pieces(part, mean, pieces, plan)
    return mean


def _record(
    call: Call,
    plan: _Plan,
    sums: Tensor | None,
    norm: Tensor,
    grad: Tensor | None,
    mean: Tensor | None,
) -> Tensor | None:
    from graphattn.ops.attend import gpu_kernels as kernels

    if not call.kernel.softmax:
        return None
    size, operands = _record_size(plan), plan.operands
    record = empty((call.num_dst, size, call.heads), norm, plan.accumulator)
    blocks = -(-call.num_dst // plan.sizes["BE"])
    kernels.record_rows[blocks, plan.head_blocks](
        sums=sums,
        grad=grad,
        mean=mean,
        norm=norm,
        dst=operands.dst if size > 3 else None,
        record=record,
        dst_stride=operands.dst_stride,
        num_rows=call.num_dst,
        RECORD=size,
        **plan.sizes,
    )
    return record


def _by_source(
    call: Call,
    plan: _Plan,
    grad: Tensor | None,
    grad_alpha: Tensor | None,
    record: Tensor | None,
    grad_score: Tensor,
    grad_edge_x: Tensor | None,
) -> dict[int, Tensor]:
    """Gradients of node operands by their place in the call; fills those of scores and edges."""
    from graphattn.ops.attend import gpu_kernels as kernels

    x, src = plan.operands.x, plan.operands.src
    pieces = call.graph.pieces(PIECE, by_source=True)
    tptr, trow, position = call.graph.by_source
    grad_x, grad_src = (
        None if operand is None else empty(operand.shape, operand, operand.dtype)
        for operand in (x, src)
    )
    part_x, part_src = (_room_for_pieces(pieces, operand, plan) for operand in (x, src))
    has_parameter = plan.formulas.d_parameter is not None
    rows = PARAMETER_ROWS if has_parameter else 1
    programs = len(pieces.row) - (-call.num_src // rows)
    grad_parameter = None
    if has_parameter:
        shape = (programs, call.heads, call.channels)
        grad_parameter = empty(shape, grad_score, plan.accumulator)
    kernels.backward_sources[programs, plan.head_blocks](
        **plan.score,
        **plan.dropout,
        **plan.sizes,
        **_piece_arguments(pieces),
        **_sums_arguments(call),
        grad=grad,
        grad_alpha=grad_alpha,
        record=record,
        grad_score=grad_score,
        grad_x=grad_x,
        grad_src=grad_src,
        grad_parameter=grad_parameter,
        grad_edge_x=grad_edge_x,
        part_x=part_x,
        part_src=part_src,
        ptr=tptr,
        trow=trow,
        positions=position,
        edge=call.graph.edge,
        num_rows=call.num_src,
        RECORD=_record_size(plan),
        ROWS=rows,
    )
    grads = {}
    for place, grad_node, part in (
        (0, grad_x, part_x),
        (plan.slots.get("src"), grad_src, part_src),
    ):
        if place is not None and grad_node is not None:
            _add_pieces(part, grad_node, pieces, plan)
            grads[place] = grad_node
    if grad_parameter is not None:
        grads[plan.slots["parameter"]] = grad_parameter.sum(dim=0)
    return grads


def _by_destination(call: Call, plan: _Plan, grad_score: Tensor) -> dict[int, Tensor]:
    """The same for the operand of destinations."""
    from graphattn.ops.attend import gpu_kernels as kernels

    operand = plan.operands.dst
    if operand is None:
        return {}
    grad = empty(operand.shape, operand, operand.dtype)
    pieces = call.graph.pieces(PIECE, by_source=False)
    part = _room_for_pieces(pieces, operand, plan)
    kernels.backward_destinations[len(pieces.row) + call.num_dst, plan.head_blocks](
        **plan.score,
        **plan.sizes,
        **_piece_arguments(pieces),
        **_row_arguments(call),
        grad_score=grad_score,
        grad=grad,
        part=part,
    )
    _add_pieces(part, grad, pieces, plan)
    return {plan.slots["dst"]: grad}


def _room_for_pieces(pieces: Pieces, like: Tensor | None, plan: _Plan) -> Tensor | None:
    """Memory for partial rows of a gradient, if rows are cut at all."""
    if like is None or len(pieces.row) == 0:
        return None
    return empty((len(pieces.row), *like.shape[1:]), like, plan.accumulator)


def _add_pieces(part: Tensor | None, out: Tensor, pieces: Pieces, plan: _Plan) -> None:
    from graphattn.ops.attend import gpu_kernels as kernels

    if part is None:
        return
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

    from graphattn.ops.attend.gpu_kernels import Operands
    from graphattn.ops.attend.gpu_scores import FORMULAS

    x, _, _, edge_x, edge_score, bias = operands
    slots = {}
    for slot, name in enumerate(call.kernel.nodes, start=1):
        end = call.score.layout[name].split()[0]
        slots[end if end in ("src", "dst") else "parameter"] = slot
    src, dst, parameter = (
        operands[slots[role]] if role in slots else None for role in ("src", "dst", "parameter")
    )
    formulas = FORMULAS[call.kernel.name]
    BC = _power_of_two(call.channels)
    BH = min(_power_of_two(call.heads), max(WIDEST // BC, 1))
    tile = TILE if call.dtype == torch.float32 else TILE // 2
    BE = min(max(tile // (BH * BC), EDGES[0]), EDGES[1])
    taken = Operands(
        x,
        src,
        dst,
        parameter,
        edge_x,
        edge_score,
        *(0 if node is None else node.stride(0) for node in (x, src, dst)),
    )
    return _Plan(
        graph=call.graph,
        operands=taken,
        formulas=formulas,
        slots=slots,
        score={
            "operands": taken,
            "formulas": formulas,
            "SETTING": float(call.setting),
            "SRC_WIDE": src is not None and src.dim() == 3,
            "DST_WIDE": dst is not None and dst.dim() == 3,
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


def _row_arguments(call: Call) -> dict[str, Tensor]:
    """The edges by destination."""
    return {"ptr": call.graph.rowptr, "col": call.graph.col, "edge": call.graph.edge}


def _sums_arguments(call: Call) -> dict[str, bool]:
    """What sums are made of, beside the values of sources."""
    return {"SOFTMAX": call.kernel.softmax, "EDGE_VALUES": call.score.value_edge_x is not None}


def _record_size(plan: _Plan) -> int:
    """Numbers per destination and head in a record: a narrow operand stands beside the others."""
    return 3 if plan.operands.dst is None or plan.score["DST_WIDE"] else 4


def _power_of_two(n: int) -> int:
    """The smallest one that is not below ``n``."""
    return 1 << max(n - 1, 0).bit_length()
