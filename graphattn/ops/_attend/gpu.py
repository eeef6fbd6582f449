"""Triton form of the fused attention ops, over ``gpu_kernels``.

The host waits for the device when a graph is new, and then no more. The constants are reasoned, not
tuned: no GPU has been measured yet. Nothing is tuned at run time, which would cost time and make
the order of sums, and with it the bits of the results, depend on the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._csr import CSR, Pieces, cached_csr, cached_pieces

if TYPE_CHECKING:
    from graphattn.ops._attend import Call

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

# Numbers per node and head that backward gathers: those of the softmax, and more of some scores.
_RECORD = MappingProxyType({"gat": 4, "gatv2": 3, "dot": 3, "given": 3, "spmm": 0})


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

    csr: CSR
    operands: dict[str, Any]
    strides: dict[str, int]
    bias: dict[str, Any]
    dropout: dict[str, Any]
    sizes: dict[str, Any]
    head_blocks: int
    accumulator: torch.dtype


def forward(call: Call) -> tuple[Tensor, Tensor]:
    """Sums, and shift and inverse sum of every softmax.

    Args:
        call: The arguments.
    """
    from graphattn.ops._attend import gpu_kernels as kernels

    plan, x = _plan(call), call.nodes[0]
    heads, channels = x.shape[1:]
    softmax = call.kernel != "spmm"
    out = empty((call.num_dst, heads, channels), x, x.dtype)
    norm = empty((call.num_dst, 2, heads), x, plan.accumulator)
    pieces = cached_pieces(plan.csr.rowptr, PIECE)
    part = part_norm = None
    if len(pieces.row) > 0:
        part = empty((len(pieces.row), heads, channels), x, plan.accumulator)
        part_norm = empty((len(pieces.row), 2, heads), x, plan.accumulator)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        kernels.forward[len(pieces.row) + call.num_dst, plan.head_blocks](
            **plan.operands,
            **plan.strides,
            **plan.dropout,
            **plan.sizes,
            **_piece_arguments(pieces),
            **plan.bias,
            out=out,
            norm=norm,
            part=part,
            part_norm=part_norm,
            ptr=plan.csr.rowptr,
            col=plan.csr.col,
            edge=plan.csr.edge,
            KIND=call.kernel,
            SETTING=float(call.setting),
        )
        if part is not None:
            sizes = {k: v for k, v in plan.sizes.items() if k != "BE"}
            kernels.combine[len(pieces.hub), plan.head_blocks](
                part=part,
                part_norm=part_norm,
                **plan.bias,
                out=out,
                norm=norm,
                hub=pieces.hub,
                first_piece=pieces.first,
                SOFTMAX=softmax,
                **sizes,
            )
    return out, norm


def backward(call: Call, out: Tensor, norm: Tensor, grad: Tensor) -> list[Tensor]:
    """Gradients of the nodes' operands, then of those of edges that are there.

    Args:
        call: The arguments of forward.
        out: The sums.
        norm: As forward returned it.
        grad: Gradient of the sums, contiguous.
    """
    plan, x = _plan(call), call.nodes[0]
    # Edges that do not count, of which there are some only with self-loops, stay zero.
    edge_x, edge_score = (
        None
        if operand is None
        else empty(operand.shape, x, operand.dtype, zero=call.num_self_loops > 0)
        for operand in (call.edge_x, call.edge_score)
    )
    # Gradients of the scores go where those of `edge_score` belong, if there is one.
    grad_score = edge_score
    if grad_score is None:
        grad_score = empty((len(plan.csr.col), x.size(1)), x, plan.accumulator)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        record = _record(call, plan, out, norm, grad)
        grads = _by_source(call, plan, grad, record, grad_score, edge_x)
        grads |= _by_destination(call, plan, grad_score)
    nodes = [grads[k] for k in range(len(call.nodes))]
    return [*nodes, *(found for found in (edge_x, edge_score) if found is not None)]


def _record(call: Call, plan: _Plan, out: Tensor, norm: Tensor, grad: Tensor) -> Tensor | None:
    from graphattn.ops._attend import gpu_kernels as kernels

    size = _RECORD[call.kernel]
    if size == 0:
        return None
    record = empty((call.num_dst, size, out.size(1)), out, plan.accumulator)
    blocks = -(-call.num_dst // plan.sizes["BE"])
    kernels.record_rows[blocks, plan.head_blocks](
        out=out,
        grad=grad,
        **plan.bias,
        norm=norm,
        second=plan.operands["second"],
        record=record,
        second_stride=plan.strides["second_stride"],
        num_rows=call.num_dst,
        KIND=call.kernel,
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
    from graphattn.ops._attend import gpu_kernels as kernels

    x = call.nodes[0]
    num_src, heads, channels = x.shape
    pieces = cached_pieces(plan.csr.tptr, PIECE)
    grads = {0: empty(x.shape, x, x.dtype)}
    if call.kernel in ("gat", "dot"):
        grads[1] = empty(call.nodes[1].shape, x, call.nodes[1].dtype)
    parts = {
        k: empty((len(pieces.row), *found.shape[1:]), x, plan.accumulator)
        for k, found in grads.items()
        if len(pieces.row) > 0
    }
    rows = ATT_ROWS if call.kernel == "gatv2" else 1
    programs = len(pieces.row) - (-num_src // rows)
    grad_att = None
    if call.kernel == "gatv2":
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
        ptr=plan.csr.tptr,
        trow=plan.csr.trow,
        positions=plan.csr.position,
        edge=plan.csr.edge,
        num_rows=num_src,
        KIND=call.kernel,
        SETTING=float(call.setting),
        RECORD=_RECORD[call.kernel],
        ROWS=rows,
    )
    for k, part in parts.items():
        _add_pieces(part, grads[k], pieces, plan)
    if grad_att is not None:
        grads[2] = grad_att.sum(dim=0)
    return grads


def _by_destination(call: Call, plan: _Plan, grad_score: Tensor) -> dict[int, Tensor]:
    """The same for operands of destinations."""
    from graphattn.ops._attend import gpu_kernels as kernels

    place = {"gat": 2, "gatv2": 1, "dot": 2}.get(call.kernel)
    if place is None:
        return {}
    operand = call.nodes[place]
    grad = empty(operand.shape, operand, operand.dtype)
    pieces = cached_pieces(plan.csr.rowptr, PIECE)
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
        ptr=plan.csr.rowptr,
        col=plan.csr.col,
        edge=plan.csr.edge,
        KIND=call.kernel,
        SETTING=float(call.setting),
        BY_EDGE=call.edge_score is not None,
    )
    if part is not None:
        _add_pieces(part, grad, pieces, plan)
    return {place: grad}


def _add_pieces(part: Tensor, out: Tensor, pieces: Pieces, plan: _Plan) -> None:
    from graphattn.ops._attend import gpu_kernels as kernels

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


def _plan(call: Call) -> _Plan:
    import triton.language as tl

    parameter = 2 if call.kernel == "gatv2" else None
    nodes = [
        operand.contiguous() if k == parameter else _native.rows(operand)
        for k, operand in enumerate(call.nodes)
    ]
    num_src, heads, channels = nodes[0].shape
    csr = cached_csr(call.edge_index, call.num_self_loops, num_src=num_src, num_dst=call.num_dst)
    accumulator = torch.promote_types(nodes[0].dtype, torch.float32)
    BC = _power_of_two(channels)
    BH = min(_power_of_two(heads), max(WIDEST // BC, 1))
    tile = TILE if accumulator == torch.float32 else TILE // 2
    BE = min(max(tile // (BH * BC), EDGES[0]), EDGES[1])
    names = ("x", "first", "second")
    bias, bias_stride = call.added()
    return _Plan(
        csr=csr,
        operands={
            **dict.fromkeys(names),
            **dict(zip(names, nodes, strict=False)),
            "edge_x": None if call.edge_x is None else call.edge_x.contiguous(),
            "edge_score": None if call.edge_score is None else call.edge_score.contiguous(),
        },
        strides={
            **{f"{name}_stride": 0 for name in names},
            **{f"{name}_stride": node.stride(0) for name, node in zip(names, nodes, strict=False)},
        },
        bias={"bias": bias, "bias_stride": bias_stride},
        dropout={
            "seed": None if call.seed is None else call.seed.to(nodes[0].device),
            "threshold": 2**32 - 1 if call.dropout >= 1.0 else int(call.dropout * 2.0**32),
            "scale": 0.0 if call.dropout >= 1.0 else 1.0 / (1.0 - call.dropout),
        },
        sizes={
            "H": heads,
            "C": channels,
            "BE": BE,
            "BH": BH,
            "BC": BC,
            "ACC": tl.float64 if accumulator == torch.float64 else tl.float32,
            "num_warps": min(max(BE * BH * BC // tile, 1), 8),
            # Its default differs between versions of Triton.
            "enable_fp_fusion": True,
        },
        head_blocks=-(-heads // BH),
        accumulator=accumulator,
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
