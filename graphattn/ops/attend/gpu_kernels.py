"""Triton kernels of the fused attention ops. Importing this module imports triton.

One program works on one row of the graph, a block of edges at a time, on all heads together
(or a block of them, where they are wide). Tiles have the shape ``[edges, heads, channels]``, the
last two padded to powers of two. Nothing is added atomically, and every sum has an order that
follows from the graph and from constants, so that results are the same bits in every run.

Rows of more than ``PIECE`` edges are cut into pieces, each the work of a program of its own; these
come first in the grid, since they take longest. Their results go to ``part``, from where
:func:`combine` or :func:`add_pieces` takes them in order.

What a score is, the kernels are told: they load the tiles of all its operands, and functions of
``gpu_scores`` make scores and gradients of them.

Sizes: ``H`` heads and ``C`` channels; ``BE``, ``BH`` and ``BC`` edges, heads and channels of a
tile. ``ACC`` is the type in which everything is computed; ``SRC_WIDE`` and ``DST_WIDE`` say which
operands have channels. Operands that are not there are ``None``, which the compiler sees.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from graphattn.ops.attend.gpu_scores import Formulas, Tiles

__all__ = [
    "Operands",
    "add_pieces",
    "backward_destinations",
    "backward_sources",
    "coefficients",
    "combine",
    "forward",
    "record_rows",
]

# A kernel is compiled anew when these change, not when they take a value such as 1 or 16.
_NUMBERS = ["num_pieces", "num_rows", "threshold"]


class Operands(NamedTuple):
    """What a score and the sums take, in memory: pointers, and the steps from row to row."""

    x: Any
    """Features of sources, to be summed. Shape ``[N_src, H, C]``."""
    src: Any
    """What the score takes of sources besides. Shape ``[N_src, H, C]`` or ``[N_src, H]``."""
    dst: Any
    """What it takes of destinations. Shape ``[N_dst, H, C]`` or ``[N_dst, H]``."""
    parameter: Any
    """The same for all edges. Shape ``[H, C]``."""
    edge_x: Any
    """In the order of the edges, as the next. Shape ``[E, H, C]``."""
    edge_score: Any
    """Shape ``[E, H]``."""
    x_stride: int
    """Numbers from row to row; the others without one are contiguous."""
    src_stride: int
    """The same."""
    dst_stride: int
    """The same."""


@triton.jit
def _rows(
    base: tl.tensor,
    index: tl.tensor,
    stride: tl.tensor,
    head: tl.tensor,
    channel: tl.tensor,
    there: tl.tensor,
    H: tl.constexpr,
    C: tl.constexpr,
    ACC: tl.constexpr,
) -> tl.tensor:
    """Rows of features; zero where there is none. Shape ``[len(index), BH, BC]``."""
    inside = (head < H)[None, :, None] & (channel < C)[None, None, :]
    offset = index[:, None, None] * stride + head[None, :, None] * C + channel[None, None, :]
    return tl.load(base + offset, mask=there[:, None, None] & inside, other=0.0).to(ACC)


@triton.jit
def _numbers(
    base: tl.tensor,
    index: tl.tensor,
    stride: tl.tensor,
    head: tl.tensor,
    there: tl.tensor,
    H: tl.constexpr,
) -> tl.tensor:
    """One number per head; zero where there is none. Shape ``[len(index), BH]``."""
    mask = there[:, None] & (head < H)[None, :]
    return tl.load(base + index[:, None] * stride + head[None, :], mask=mask, other=0.0)


@triton.jit
def _operand(
    base: tl.tensor,
    index: tl.tensor,
    stride: tl.tensor,
    head: tl.tensor,
    channel: tl.tensor,
    there: tl.tensor,
    H: tl.constexpr,
    C: tl.constexpr,
    ACC: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Rows of an operand that has channels or not, or is not there at all."""
    tile = None
    if base is not None:
        if WIDE:
            tile = _rows(base, index, stride, head, channel, there, H, C, ACC)
        else:
            tile = _numbers(base, index, stride, head, there, H)
    return tile


@triton.jit
def _entering(
    operands: Operands,
    dst: tl.tensor,
    parameter: tl.tensor,
    j: tl.tensor,
    e: tl.tensor,
    there: tl.tensor,
    head: tl.tensor,
    channel: tl.tensor,
    SRC_WIDE: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    ACC: tl.constexpr,
) -> Tiles:
    """The operands of edges ``e`` from nodes ``j`` into one whose operand ``dst`` is known."""
    stride: tl.constexpr = H * C
    return Tiles(
        _operand(operands.x, j, operands.x_stride, head, channel, there, H, C, ACC, True),
        _operand(operands.src, j, operands.src_stride, head, channel, there, H, C, ACC, SRC_WIDE),
        dst,
        parameter,
        _operand(operands.edge_x, e, stride, head, channel, there, H, C, ACC, True),
        _operand(operands.edge_score, e, H, head, channel, there, H, C, ACC, False),
    )


@triton.jit
def _one(row: tl.tensor) -> tl.tensor:
    """The index of a single row, and that it is there, in the form of :func:`_rows`."""
    index = row + tl.zeros([1], tl.int64)
    return index, index >= 0


@triton.jit
def _store_row(
    base: tl.tensor,
    row: tl.tensor,
    values: tl.tensor,
    head: tl.tensor,
    channel: tl.tensor,
    H: tl.constexpr,
    C: tl.constexpr,
) -> None:
    """Write ``values``, shape ``[BH, BC]``, to a row of a contiguous tensor."""
    wide = row + tl.zeros([1, 1], tl.int64)
    offset = wide * (H * C) + head[:, None] * C + channel[None, :]
    tl.store(base + offset, values, mask=(head < H)[:, None] & (channel < C)[None, :])


@triton.jit
def _store_operand(
    base: tl.tensor,
    row: tl.tensor,
    values: tl.tensor,
    head: tl.tensor,
    channel: tl.tensor,
    H: tl.constexpr,
    C: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """The same, or ``values`` of shape ``[BH]`` of an operand without channels."""
    if WIDE:
        _store_row(base, row, values, head, channel, H, C)
    else:
        narrow = row + tl.zeros([1], tl.int64)
        tl.store(base + narrow * H + head, values, mask=head < H)


@triton.jit
def _span(
    item: tl.tensor,
    ptr: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    num_pieces: tl.tensor,
    PIECE: tl.tensor,
) -> tl.tensor:
    """Row and edges of an item: pieces come first, then all rows, of which hubs are left empty."""
    row = item
    if piece_row is not None:
        is_piece = item < num_pieces
        row = tl.load(piece_row + item, mask=is_piece, other=0).to(tl.int32)
        row = tl.where(is_piece, row, item - num_pieces)
    begin, end = tl.load(ptr + row), tl.load(ptr + row + 1)
    if piece_row is not None:
        start = tl.load(piece_begin + item, mask=is_piece, other=0)
        end = tl.where(end - begin > PIECE, tl.where(is_piece, end, begin), end)
        begin = tl.where(is_piece, start, begin)
        end = tl.where(is_piece, tl.minimum(start + PIECE, end), end)
    return row, begin, end


@triton.jit
def _mix(x: tl.tensor) -> tl.tensor:
    x = x ^ (x >> 16)
    x = x * 0x21F0AAAD
    x = x ^ (x >> 15)
    x = x * 0x735A2D97
    return x ^ (x >> 15)


@triton.jit
def _dropout_factor(
    seed: tl.tensor, counter: tl.tensor, threshold: tl.tensor, scale: tl.tensor
) -> tl.tensor:
    """``dropout_factor`` of ``dropout.py``. The seed is read here: the host need not know it."""
    key = tl.load(seed)
    # Casts keep the low half; all numbers are unsigned from here on.
    draw = _mix(counter.to(tl.uint32) + key.to(tl.uint32))
    draw = _mix(draw ^ ((counter >> 32).to(tl.uint32) + (key >> 32).to(tl.uint32)))
    return tl.where(draw >= threshold.to(tl.uint32), scale, 0.0)


@triton.jit
def _take(
    shift: tl.tensor,
    total: tl.tensor,
    sums: tl.tensor,
    shift_two: tl.tensor,
    total_two: tl.tensor,
    sums_two: tl.tensor,
) -> tl.tensor:
    """Two parts of a softmax with its weighted sum as one. Without scores a shift is -inf."""
    most = tl.maximum(shift, shift_two)
    safe = tl.where(most == -float("inf"), 0.0, most)
    keep, take = tl.exp(shift - safe), tl.exp(shift_two - safe)
    total = total * keep + total_two * take
    return most, total, sums * keep[:, None] + sums_two * take[:, None]


@triton.jit
def _finish(
    out: tl.tensor,
    norm: tl.tensor,
    bias: tl.tensor,
    bias_stride: tl.tensor,
    sums_out: tl.tensor,
    row: tl.tensor,
    shift: tl.tensor,
    total: tl.tensor,
    sums: tl.tensor,
    head: tl.tensor,
    channel: tl.tensor,
    H: tl.constexpr,
    C: tl.constexpr,
    SOFTMAX: tl.constexpr,
) -> None:
    """Write a row of the output, the same without bias, and shift and inverse sum of a softmax."""
    if SOFTMAX:
        inverse = tl.where(total == 0, 0.0, 1.0 / tl.where(total == 0, 1.0, total))
        place = norm + row.to(tl.int64) * (2 * H) + head
        tl.store(place, tl.where(shift == -float("inf"), 0.0, shift), mask=head < H)
        tl.store(place + H, inverse, mask=head < H)
        sums = sums * inverse[:, None]
    if sums_out is not None:
        _store_row(sums_out, row, sums, head, channel, H, C)
    if bias is not None:
        inside = (head < H)[:, None] & (channel < C)[None, :]
        place = bias + row.to(tl.int64) * bias_stride + head[:, None] * C + channel[None, :]
        sums += tl.load(place, mask=inside, other=0.0)
    if out is not None:
        _store_row(out, row, sums, head, channel, H, C)


@triton.jit(do_not_specialize=_NUMBERS)
def forward(
    operands: Operands,
    formulas: Formulas,
    bias: tl.tensor,
    bias_stride: tl.tensor,
    seed: tl.tensor,
    out: tl.tensor,
    norm: tl.tensor,
    sums_out: tl.tensor,
    part: tl.tensor,
    part_norm: tl.tensor,
    ptr: tl.tensor,
    col: tl.tensor,
    edge: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    num_pieces: tl.tensor,
    threshold: tl.tensor,
    scale: tl.tensor,
    SETTING: tl.constexpr,
    SRC_WIDE: tl.constexpr,
    DST_WIDE: tl.constexpr,
    SOFTMAX: tl.constexpr,
    EDGE_VALUES: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    PIECE: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Weighted sums by destination, in one sweep: the softmax is corrected block by block."""
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    item = tl.program_id(0)
    row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
    i, always = _one(row)
    dst = _operand(operands.dst, i, operands.dst_stride, head, channel, always, H, C, ACC, DST_WIDE)
    parameter = _operand(operands.parameter, i * 0, 0, head, channel, always, H, C, ACC, True)
    shift = tl.full([BH], -float("inf"), ACC)
    total = tl.zeros([BH], ACC)
    sums = tl.zeros([BH, BC], ACC)
    for start in range(begin, end, BE):
        position = start + tl.arange(0, BE)
        there = position < end
        j = tl.load(col + position, mask=there, other=0).to(tl.int64)
        e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
        tiles = _entering(operands, dst, parameter, j, e, there, head, channel, SRC_WIDE, H, C, ACC)
        score = formulas.score(tiles, SETTING)
        if SOFTMAX:
            score = tl.where(there[:, None], score, -float("inf"))
            most = tl.max(score, axis=0)
            safe = tl.where(most == -float("inf"), 0.0, most)
            weight = tl.exp(score - safe[None, :])
            block_total = tl.sum(weight, axis=0)
            if seed is not None:
                counter = position.to(tl.int64)[:, None] * H + head[None, :]
                weight *= _dropout_factor(seed, counter, threshold, scale)
        else:
            weight = score
        block = tl.zeros([BH, BC], ACC)
        if out is not None:
            values = tiles.x
            if EDGE_VALUES and tiles.edge_x is not None:
                values += tiles.edge_x
            block = tl.sum(weight[:, :, None] * values, axis=0)
        if SOFTMAX:
            shift, total, sums = _take(shift, total, sums, most, block_total, block)
        else:
            sums += block
    if piece_row is not None and item < num_pieces:
        _store_row(part, item, sums, head, channel, H, C)
        place = part_norm + item * (2 * H) + head
        tl.store(place, shift, mask=head < H)
        tl.store(place + H, total, mask=head < H)
    else:
        # Of hubs this writes rows without edges, which `combine` replaces.
        _finish(
            out,
            norm,
            bias,
            bias_stride,
            sums_out,
            row,
            shift,
            total,
            sums,
            head,
            channel,
            H,
            C,
            SOFTMAX,
        )


@triton.jit(do_not_specialize=_NUMBERS)
def coefficients(
    operands: Operands,
    formulas: Formulas,
    norm: tl.tensor,
    alpha: tl.tensor,
    grad_alpha: tl.tensor,
    mean: tl.tensor,
    part: tl.tensor,
    ptr: tl.tensor,
    col: tl.tensor,
    edge: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    num_pieces: tl.tensor,
    SETTING: tl.constexpr,
    SRC_WIDE: tl.constexpr,
    DST_WIDE: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    PIECE: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Coefficients in the order of the edges, from the norms that :func:`forward` left.

    They go to ``alpha``; with ``grad_alpha`` the mean over each row of what is given there for them
    goes to ``mean``.
    """
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    item = tl.program_id(0)
    row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
    i, always = _one(row)
    shift = _numbers(norm, i, 2 * H, head, always, H)
    inverse = _numbers(norm + H, i, 2 * H, head, always, H)
    dst = _operand(operands.dst, i, operands.dst_stride, head, channel, always, H, C, ACC, DST_WIDE)
    parameter = _operand(operands.parameter, i * 0, 0, head, channel, always, H, C, ACC, True)
    sums = tl.zeros([BH], ACC)
    for start in range(begin, end, BE):
        position = start + tl.arange(0, BE)
        there = position < end
        j = tl.load(col + position, mask=there, other=0).to(tl.int64)
        e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
        tiles = _entering(operands, dst, parameter, j, e, there, head, channel, SRC_WIDE, H, C, ACC)
        score = formulas.score(tiles, SETTING)
        mask = there[:, None] & (head < H)[None, :]
        # Beyond the row there is no score, and a large one would become infinite.
        weight = tl.exp(tl.where(mask, score - shift, 0.0)) * inverse
        if alpha is not None:
            tl.store(alpha + e[:, None] * H + head[None, :], weight, mask=mask)
        if grad_alpha is not None:
            sums += tl.sum(weight * _numbers(grad_alpha, e, H, head, there, H), axis=0)
    if grad_alpha is not None:
        if piece_row is not None and item < num_pieces:
            _store_operand(part, item, sums, head, channel, H, C, False)
        else:
            # Of hubs this writes zeros, which the sum of the pieces replaces.
            _store_operand(mean, row, sums, head, channel, H, C, False)


@triton.jit
def combine(
    part: tl.tensor,
    part_norm: tl.tensor,
    bias: tl.tensor,
    bias_stride: tl.tensor,
    out: tl.tensor,
    norm: tl.tensor,
    sums_out: tl.tensor,
    hub: tl.tensor,
    first_piece: tl.tensor,
    H: tl.constexpr,
    C: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    SOFTMAX: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Rows of the output from their pieces, in order; one program per hub."""
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    inside = (head < H)[:, None] & (channel < C)[None, :]
    row = tl.load(hub + tl.program_id(0))
    begin = tl.load(first_piece + tl.program_id(0))
    end = tl.load(first_piece + tl.program_id(0) + 1)
    shift = tl.full([BH], -float("inf"), ACC)
    total = tl.zeros([BH], ACC)
    sums = tl.zeros([BH, BC], ACC)
    for piece in range(begin, end):
        offset = piece * (H * C) + head[:, None] * C + channel[None, :]
        more = tl.load(part + offset, mask=inside, other=0.0)
        if SOFTMAX:
            place = part_norm + piece * (2 * H) + head
            piece_shift = tl.load(place, mask=head < H, other=0.0)
            piece_total = tl.load(place + H, mask=head < H, other=0.0)
            shift, total, sums = _take(shift, total, sums, piece_shift, piece_total, more)
        else:
            sums += more
    _finish(
        out,
        norm,
        bias,
        bias_stride,
        sums_out,
        row,
        shift,
        total,
        sums,
        head,
        channel,
        H,
        C,
        SOFTMAX,
    )


@triton.jit
def add_pieces(
    part: tl.tensor,
    out: tl.tensor,
    hub: tl.tensor,
    first_piece: tl.tensor,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Rows of a gradient from their pieces, in order; one program per hub and block of columns."""
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(hub + tl.program_id(0)).to(tl.int64)
    begin = tl.load(first_piece + tl.program_id(0))
    end = tl.load(first_piece + tl.program_id(0) + 1)
    sums = tl.zeros([BLOCK], ACC)
    for piece in range(begin, end):
        sums += tl.load(part + piece * WIDTH + column, mask=column < WIDTH, other=0.0)
    tl.store(out + row * WIDTH + column, sums, mask=column < WIDTH)


@triton.jit(do_not_specialize=_NUMBERS)
def record_rows(
    sums: tl.tensor,
    grad: tl.tensor,
    mean: tl.tensor,
    norm: tl.tensor,
    dst: tl.tensor,
    record: tl.tensor,
    dst_stride: tl.tensor,
    num_rows: tl.tensor,
    RECORD: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """What backward gathers of a destination: its norm, <grad, sums> and, if narrow, its operand.

    They lie side by side, ``[N_dst, RECORD, H]``, so that an edge costs one or two cache lines.
    The inner product is the sum over the row of coefficient times its gradient; ``mean`` is that
    of the gradients that are given of the coefficients themselves.
    """
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    i = tl.program_id(0).to(tl.int64) * BE + tl.arange(0, BE)
    there = i < num_rows
    inner = tl.zeros([BE, BH], ACC)
    if grad is not None:
        total = _rows(sums, i, H * C, head, channel, there, H, C, ACC)
        g = _rows(grad, i, H * C, head, channel, there, H, C, ACC)
        inner = tl.sum(g * total, axis=2)
    if mean is not None:
        inner += _numbers(mean, i, H, head, there, H)
    place = record + i[:, None] * (RECORD * H) + head[None, :]
    mask = there[:, None] & (head < H)[None, :]
    tl.store(place, _numbers(norm, i, 2 * H, head, there, H), mask=mask)
    tl.store(place + H, _numbers(norm + H, i, 2 * H, head, there, H), mask=mask)
    tl.store(place + 2 * H, inner, mask=mask)
    if dst is not None:
        tl.store(place + 3 * H, _numbers(dst, i, dst_stride, head, there, H), mask=mask)


@triton.jit(do_not_specialize=_NUMBERS)
def backward_sources(
    operands: Operands,
    formulas: Formulas,
    seed: tl.tensor,
    grad: tl.tensor,
    grad_alpha: tl.tensor,
    record: tl.tensor,
    grad_score: tl.tensor,
    grad_x: tl.tensor,
    grad_src: tl.tensor,
    grad_parameter: tl.tensor,
    grad_edge_x: tl.tensor,
    part_x: tl.tensor,
    part_src: tl.tensor,
    ptr: tl.tensor,
    trow: tl.tensor,
    positions: tl.tensor,
    edge: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    num_rows: tl.tensor,
    num_pieces: tl.tensor,
    threshold: tl.tensor,
    scale: tl.tensor,
    SETTING: tl.constexpr,
    SRC_WIDE: tl.constexpr,
    DST_WIDE: tl.constexpr,
    SOFTMAX: tl.constexpr,
    EDGE_VALUES: tl.constexpr,
    RECORD: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    PIECE: tl.constexpr,
    ROWS: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Gradients by source, over the transposed rows; coefficients are computed again.

    ``grad`` is the gradient of the sums, ``grad_alpha`` that of the coefficients before dropout;
    one of them may be ``None``. Writes the gradients of the features, of the operands of sources
    and of ``edge_x``, and of the scores: to the rows of the edges if there is an ``edge_score``,
    whose gradient they are, else to the positions of the CSR. The gradient of a parameter is summed
    over the ``ROWS`` rows of a program.
    """
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    program = tl.program_id(0)
    if piece_row is None:
        item_begin = program * ROWS
        item_end = tl.minimum(item_begin + ROWS, num_rows)
    else:
        is_piece = program < num_pieces
        item_begin = tl.where(is_piece, program, num_pieces + (program - num_pieces) * ROWS)
        last = tl.minimum(item_begin + ROWS, num_pieces + num_rows)
        item_end = tl.where(is_piece, program + 1, last)
    zero, always = _one(program * 0)
    parameter = _operand(operands.parameter, zero, 0, head, channel, always, H, C, ACC, True)
    d_parameter = tl.zeros([BH, BC], ACC)
    for item in range(item_begin, item_end):
        row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
        j, always = _one(row)
        x = _operand(operands.x, j, operands.x_stride, head, channel, always, H, C, ACC, True)
        src = _operand(
            operands.src, j, operands.src_stride, head, channel, always, H, C, ACC, SRC_WIDE
        )
        d_x = tl.zeros([BH, BC], ACC)
        d_src = tl.zeros([BH, BC], ACC) if SRC_WIDE else tl.zeros([BH], ACC)
        for start in range(begin, end, BE):
            place = start + tl.arange(0, BE)
            there = place < end
            i = tl.load(trow + place, mask=there, other=0).to(tl.int64)
            position = tl.load(positions + place, mask=there, other=0).to(tl.int64)
            e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
            f = _operand(operands.edge_x, e, H * C, head, channel, there, H, C, ACC, True)
            r = _operand(operands.edge_score, e, H, head, channel, there, H, C, ACC, False)
            d_weight = tl.zeros([BE, BH], ACC)
            if grad is not None:
                g = _rows(grad, i, H * C, head, channel, there, H, C, ACC)
                values = x
                if EDGE_VALUES and f is not None:
                    values = x + f
                d_weight = tl.sum(g * values, axis=2)
            dst = None
            if DST_WIDE:
                dst = _rows(operands.dst, i, operands.dst_stride, head, channel, there, H, C, ACC)
            elif operands.dst is not None:
                dst = _numbers(record + 3 * H, i, RECORD * H, head, there, H)
            tiles = Tiles(x, src, dst, parameter, f, r)
            score = formulas.score(tiles, SETTING)
            if SOFTMAX:
                shift = _numbers(record, i, RECORD * H, head, there, H)
                inverse = _numbers(record + H, i, RECORD * H, head, there, H)
                mean = _numbers(record + 2 * H, i, RECORD * H, head, there, H)
                # Beyond the row there is no shift, and a large score would become infinite.
                alpha = tl.exp(tl.where(there[:, None], score - shift, 0.0)) * inverse
                weight = alpha
                if seed is not None:
                    counter = position[:, None] * H + head[None, :]
                    factor = _dropout_factor(seed, counter, threshold, scale)
                    weight = alpha * factor
                    d_weight *= factor
                if grad_alpha is not None:
                    d_weight += _numbers(grad_alpha, e, H, head, there, H)
                d_score = alpha * (d_weight - mean)
            else:
                weight, d_score = score, d_weight
            if formulas.d_edge is not None:
                d_score = formulas.d_edge(d_score, tiles, SETTING)
            # Values that are not finite would make products with zero NaN.
            weight = tl.where(there[:, None], weight, 0.0)
            d_score = tl.where(there[:, None], d_score, 0.0)
            target = position if operands.edge_score is None else e
            tl.store(
                grad_score + target[:, None] * H + head[None, :],
                d_score,
                mask=there[:, None] & (head < H)[None, :],
            )
            if grad is not None:
                d_x += tl.sum(weight[:, :, None] * g, axis=0)
            if formulas.d_src is not None:
                d_operand = formulas.d_src(d_score, tiles, SETTING)
                if operands.src is None:
                    d_x += tl.sum(d_operand, axis=0)
                else:
                    d_src += tl.sum(d_operand, axis=0)
            if formulas.d_parameter is not None:
                d_parameter += tl.sum(formulas.d_parameter(d_score, tiles, SETTING), axis=0)
            if grad_edge_x is not None:
                if EDGE_VALUES and grad is not None:
                    d_operand += weight[:, :, None] * g
                inside = (head < H)[None, :, None] & (channel < C)[None, None, :]
                offset = e[:, None, None] * (H * C) + head[None, :, None] * C
                tl.store(
                    grad_edge_x + offset + channel[None, None, :],
                    d_operand,
                    mask=there[:, None, None] & inside,
                )
        if piece_row is not None and item < num_pieces:
            if operands.x is not None:
                _store_row(part_x, item, d_x, head, channel, H, C)
            if operands.src is not None:
                _store_operand(part_src, item, d_src, head, channel, H, C, SRC_WIDE)
        else:
            # Of hubs this writes zeros, which the sum of the pieces replaces.
            if operands.x is not None:
                _store_row(grad_x, row, d_x, head, channel, H, C)
            if operands.src is not None:
                _store_operand(grad_src, row, d_src, head, channel, H, C, SRC_WIDE)
    if formulas.d_parameter is not None:
        _store_row(grad_parameter, program, d_parameter, head, channel, H, C)


@triton.jit(do_not_specialize=_NUMBERS)
def backward_destinations(
    operands: Operands,
    formulas: Formulas,
    grad_score: tl.tensor,
    grad: tl.tensor,
    part: tl.tensor,
    ptr: tl.tensor,
    col: tl.tensor,
    edge: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    num_pieces: tl.tensor,
    SETTING: tl.constexpr,
    SRC_WIDE: tl.constexpr,
    DST_WIDE: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    PIECE: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Gradient of the operand of destinations, from those that :func:`backward_sources` left."""
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    item = tl.program_id(0)
    row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
    i, always = _one(row)
    dst = _operand(operands.dst, i, operands.dst_stride, head, channel, always, H, C, ACC, DST_WIDE)
    parameter = _operand(operands.parameter, i * 0, 0, head, channel, always, H, C, ACC, True)
    sums = tl.zeros([BH, BC], ACC) if DST_WIDE else tl.zeros([BH], ACC)
    for start in range(begin, end, BE):
        position = start + tl.arange(0, BE)
        there = position < end
        j = tl.load(col + position, mask=there, other=0).to(tl.int64)
        e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
        tiles = _entering(operands, dst, parameter, j, e, there, head, channel, SRC_WIDE, H, C, ACC)
        target = position.to(tl.int64) if operands.edge_score is None else e
        d_score = _numbers(grad_score, target, H, head, there, H)
        sums += tl.sum(formulas.d_dst(d_score, tiles, SETTING), axis=0)
    if formulas.finish_dst is not None:
        sums = formulas.finish_dst(sums, SETTING)
    if piece_row is not None and item < num_pieces:
        _store_operand(part, item, sums, head, channel, H, C, DST_WIDE)
    else:
        # Of hubs this writes zeros, which the sum of the pieces replaces.
        _store_operand(grad, row, sums, head, channel, H, C, DST_WIDE)
