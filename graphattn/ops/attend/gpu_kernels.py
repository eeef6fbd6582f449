"""Triton kernels of the fused attention ops. Importing this module imports triton.

One program works on one row of the graph, a block of edges at a time, on all heads together
(or a block of them, where they are wide). Tiles have the shape ``[edges, heads, channels]``, the
last two padded to powers of two. Nothing is added atomically, and every sum has an order that
follows from the graph and from constants, so that results are the same bits in every run.

Rows of more than ``PIECE`` edges are cut into pieces, each the work of a program of its own; these
come first in the grid, since they take longest. Their results go to ``part``, from where
:func:`combine` or :func:`add_pieces` takes them in order.

Sizes: ``H`` heads and ``C`` channels; ``BE``, ``BH`` and ``BC`` edges, heads and channels of a
tile. ``ACC`` is the type in which everything is computed. Operands by ``KIND``, ``x`` always being
the features to sum:

======= ======================= ==================== ===========================================
KIND    first                   second               score
======= ======================= ==================== ===========================================
gat     ``[N_src, H]``          ``[N_dst, H]``       leaky_relu(first + second + edge_score)
gatv2   ``[N_dst, H, C]``       ``[H, C]``           <second, leaky_relu(x + first + edge_x)>
dot     ``[N_src, H, C]``       ``[N_dst, H, C]``    setting <second, first + edge_x> + edge_score
given                                                edge_score
spmm                                                 edge_score is the weight itself
======= ======================= ==================== ===========================================

Operands that are not there are ``None``, which the compiler sees.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
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
def _leaky(z: tl.tensor, SLOPE: tl.constexpr) -> tl.tensor:
    return tl.where(z > 0, z, z * SLOPE)


@triton.jit
def _sum_of(x: tl.tensor, other: tl.tensor, edge_x: tl.tensor) -> tl.tensor:
    total = x + other
    if edge_x is not None:
        total += edge_x
    return total


@triton.jit
def _score(
    x: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    edge_x: tl.tensor,
    edge_score: tl.tensor,
    KIND: tl.constexpr,
    SETTING: tl.constexpr,
) -> tl.tensor:
    """Scores from tiles of the operands, ``gat`` before its activation. Shape ``[BE, BH]``."""
    if KIND == "gat":
        score = first + second
        if edge_score is not None:
            score += edge_score
    elif KIND == "gatv2":
        score = tl.sum(second * _leaky(_sum_of(x, first, edge_x), SETTING), axis=2)
    elif KIND == "dot":
        key = first
        if edge_x is not None:
            key += edge_x
        score = tl.sum(second * key, axis=2) * SETTING
        if edge_score is not None:
            score += edge_score
    else:
        score = edge_score
    return score


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
    x: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    edge_x: tl.tensor,
    edge_score: tl.tensor,
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
    x_stride: tl.tensor,
    first_stride: tl.tensor,
    second_stride: tl.tensor,
    num_pieces: tl.tensor,
    threshold: tl.tensor,
    scale: tl.tensor,
    KIND: tl.constexpr,
    SETTING: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    PIECE: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Weighted sums by destination, in one sweep: the softmax is corrected block by block."""
    SOFTMAX: tl.constexpr = KIND != "spmm"
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    item = tl.program_id(0)
    row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
    i, always = _one(row)
    if KIND == "gat":
        own = _numbers(second, i, second_stride, head, always, H)
    elif KIND == "gatv2":
        own = _rows(first, i, first_stride, head, channel, always, H, C, ACC)
        att = _rows(second, i * 0, 0, head, channel, always, H, C, ACC)
    elif KIND == "dot":
        own = _rows(second, i, second_stride, head, channel, always, H, C, ACC)
    shift = tl.full([BH], -float("inf"), ACC)
    total = tl.zeros([BH], ACC)
    sums = tl.zeros([BH, BC], ACC)
    for start in range(begin, end, BE):
        position = start + tl.arange(0, BE)
        there = position < end
        j = tl.load(col + position, mask=there, other=0).to(tl.int64)
        values: tl.tensor = None
        if x is not None:
            values = _rows(x, j, x_stride, head, channel, there, H, C, ACC)
        f, r = None, None
        if edge_x is not None or edge_score is not None:
            e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
            if edge_x is not None:
                f = _rows(edge_x, e, H * C, head, channel, there, H, C, ACC)
            if edge_score is not None:
                r = _numbers(edge_score, e, H, head, there, H)
        a, b = None, None
        if KIND == "gat":
            a, b = _numbers(first, j, first_stride, head, there, H), own
        elif KIND == "gatv2":
            a, b = own, att
        elif KIND == "dot":
            a, b = _rows(first, j, first_stride, head, channel, there, H, C, ACC), own
        score = _score(values, a, b, f, r, KIND, SETTING)
        if KIND == "gat":
            score = _leaky(score, SETTING)
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
            if KIND == "dot" and edge_x is not None:
                values += f
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
    x: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    edge_x: tl.tensor,
    edge_score: tl.tensor,
    norm: tl.tensor,
    alpha: tl.tensor,
    ptr: tl.tensor,
    col: tl.tensor,
    edge: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    x_stride: tl.tensor,
    first_stride: tl.tensor,
    second_stride: tl.tensor,
    num_pieces: tl.tensor,
    KIND: tl.constexpr,
    SETTING: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    PIECE: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Coefficients in the order of the edges, from the norms that :func:`forward` left."""
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    item = tl.program_id(0)
    row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
    i, always = _one(row)
    shift = _numbers(norm, i, 2 * H, head, always, H)
    inverse = _numbers(norm + H, i, 2 * H, head, always, H)
    if KIND == "gat":
        own = _numbers(second, i, second_stride, head, always, H)
    elif KIND == "gatv2":
        own = _rows(first, i, first_stride, head, channel, always, H, C, ACC)
        att = _rows(second, i * 0, 0, head, channel, always, H, C, ACC)
    elif KIND == "dot":
        own = _rows(second, i, second_stride, head, channel, always, H, C, ACC)
    for start in range(begin, end, BE):
        position = start + tl.arange(0, BE)
        there = position < end
        j = tl.load(col + position, mask=there, other=0).to(tl.int64)
        e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
        f, r, values = None, None, None
        if edge_x is not None:
            f = _rows(edge_x, e, H * C, head, channel, there, H, C, ACC)
        if edge_score is not None:
            r = _numbers(edge_score, e, H, head, there, H)
        a, b = None, None
        if KIND == "gat":
            a, b = _numbers(first, j, first_stride, head, there, H), own
        elif KIND == "gatv2":
            values = _rows(x, j, x_stride, head, channel, there, H, C, ACC)
            a, b = own, att
        elif KIND == "dot":
            a, b = _rows(first, j, first_stride, head, channel, there, H, C, ACC), own
        score = _score(values, a, b, f, r, KIND, SETTING)
        if KIND == "gat":
            score = _leaky(score, SETTING)
        place = alpha + e[:, None] * H + head[None, :]
        mask = there[:, None] & (head < H)[None, :]
        # Beyond the row there is no score, and a large one would become infinite.
        tl.store(place, tl.exp(tl.where(mask, score - shift, 0.0)) * inverse, mask=mask)


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
    norm: tl.tensor,
    second: tl.tensor,
    record: tl.tensor,
    second_stride: tl.tensor,
    num_rows: tl.tensor,
    KIND: tl.constexpr,
    RECORD: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """What backward gathers of a destination: its norm, <grad, sums> and, for gat, second.

    They lie side by side, ``[N_dst, RECORD, H]``, so that an edge costs one or two cache lines.
    The inner product is the sum over the row of coefficient times its gradient.
    """
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    i = tl.program_id(0).to(tl.int64) * BE + tl.arange(0, BE)
    there = i < num_rows
    total = _rows(sums, i, H * C, head, channel, there, H, C, ACC)
    g = _rows(grad, i, H * C, head, channel, there, H, C, ACC)
    place = record + i[:, None] * (RECORD * H) + head[None, :]
    mask = there[:, None] & (head < H)[None, :]
    tl.store(place, _numbers(norm, i, 2 * H, head, there, H), mask=mask)
    tl.store(place + H, _numbers(norm + H, i, 2 * H, head, there, H), mask=mask)
    tl.store(place + 2 * H, tl.sum(g * total, axis=2), mask=mask)
    if KIND == "gat":
        tl.store(place + 3 * H, _numbers(second, i, second_stride, head, there, H), mask=mask)


@triton.jit(do_not_specialize=_NUMBERS)
def backward_sources(
    x: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    edge_x: tl.tensor,
    edge_score: tl.tensor,
    seed: tl.tensor,
    grad: tl.tensor,
    record: tl.tensor,
    grad_score: tl.tensor,
    grad_x: tl.tensor,
    grad_first: tl.tensor,
    grad_att: tl.tensor,
    grad_edge_x: tl.tensor,
    part_x: tl.tensor,
    part_first: tl.tensor,
    ptr: tl.tensor,
    trow: tl.tensor,
    positions: tl.tensor,
    edge: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    x_stride: tl.tensor,
    first_stride: tl.tensor,
    second_stride: tl.tensor,
    num_rows: tl.tensor,
    num_pieces: tl.tensor,
    threshold: tl.tensor,
    scale: tl.tensor,
    KIND: tl.constexpr,
    SETTING: tl.constexpr,
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

    Writes the gradients of the features, of ``first`` where it is the sources' (gat, dot), of
    ``edge_x``, and of the scores: to the rows of the edges if there is an ``edge_score``, whose
    gradient they are, else to the positions of the CSR. The gradient of gatv2's ``att`` is summed
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
    if KIND == "gatv2":
        zero, always = _one(program * 0)
        att = _rows(second, zero, 0, head, channel, always, H, C, ACC)
        d_att = tl.zeros([BH, BC], ACC)
    for item in range(item_begin, item_end):
        row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
        j, always = _one(row)
        values = _rows(x, j, x_stride, head, channel, always, H, C, ACC)
        if KIND == "gat":
            own = _numbers(first, j, first_stride, head, always, H)
            d_first = tl.zeros([BH], ACC)
        elif KIND == "dot":
            own = _rows(first, j, first_stride, head, channel, always, H, C, ACC)
            d_first = tl.zeros([BH, BC], ACC)
        d_x = tl.zeros([BH, BC], ACC)
        for start in range(begin, end, BE):
            place = start + tl.arange(0, BE)
            there = place < end
            i = tl.load(trow + place, mask=there, other=0).to(tl.int64)
            position = tl.load(positions + place, mask=there, other=0).to(tl.int64)
            target = position
            f, r = None, None
            if edge_x is not None or edge_score is not None:
                e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
                if edge_x is not None:
                    f = _rows(edge_x, e, H * C, head, channel, there, H, C, ACC)
                if edge_score is not None:
                    r = _numbers(edge_score, e, H, head, there, H)
                    target = e
            g = _rows(grad, i, H * C, head, channel, there, H, C, ACC)
            carried = values
            if KIND == "dot" and edge_x is not None:
                carried = values + f
            d_weight = tl.sum(g * carried, axis=2)
            a, b = None, None
            if KIND == "gat":
                a, b = own, _numbers(record + 3 * H, i, RECORD * H, head, there, H)
            elif KIND == "gatv2":
                a, b = _rows(first, i, first_stride, head, channel, there, H, C, ACC), att
            elif KIND == "dot":
                a, b = own, _rows(second, i, second_stride, head, channel, there, H, C, ACC)
            score = _score(values, a, b, f, r, KIND, SETTING)
            if KIND == "spmm":
                weight, d_score = score, d_weight
            else:
                shift = _numbers(record, i, RECORD * H, head, there, H)
                inverse = _numbers(record + H, i, RECORD * H, head, there, H)
                mean = _numbers(record + 2 * H, i, RECORD * H, head, there, H)
                activated = score
                if KIND == "gat":
                    activated = _leaky(score, SETTING)
                # Beyond the row there is no shift, and a large score would become infinite.
                alpha = tl.exp(tl.where(there[:, None], activated - shift, 0.0)) * inverse
                weight = alpha
                if seed is not None:
                    counter = position[:, None] * H + head[None, :]
                    factor = _dropout_factor(seed, counter, threshold, scale)
                    weight = alpha * factor
                    d_weight *= factor
                d_score = alpha * (d_weight - mean)
                if KIND == "gat":
                    d_score = tl.where(score > 0, d_score, d_score * SETTING)
            # Values that are not finite would make products with zero NaN.
            weight = tl.where(there[:, None], weight, 0.0)
            d_score = tl.where(there[:, None], d_score, 0.0)
            tl.store(
                grad_score + target[:, None] * H + head[None, :],
                d_score,
                mask=there[:, None] & (head < H)[None, :],
            )
            d_x += tl.sum(weight[:, :, None] * g, axis=0)
            if KIND == "gat":
                d_first += tl.sum(d_score, axis=0)
            elif KIND == "gatv2":
                pair = _sum_of(values, a, f)
                d_pair = d_score[:, :, None] * b
                d_pair = tl.where(pair > 0, d_pair, d_pair * SETTING)
                d_x += tl.sum(d_pair, axis=0)
                d_att += tl.sum(d_score[:, :, None] * _leaky(pair, SETTING), axis=0)
            elif KIND == "dot":
                d_pair = (d_score * SETTING)[:, :, None] * b
                d_first += tl.sum(d_pair, axis=0)
                if grad_edge_x is not None:
                    d_pair += weight[:, :, None] * g
            if grad_edge_x is not None:
                inside = (head < H)[None, :, None] & (channel < C)[None, None, :]
                offset = e[:, None, None] * (H * C) + head[None, :, None] * C
                tl.store(
                    grad_edge_x + offset + channel[None, None, :],
                    d_pair,
                    mask=there[:, None, None] & inside,
                )
        if piece_row is not None and item < num_pieces:
            _store_row(part_x, item, d_x, head, channel, H, C)
            if KIND == "gat":
                tl.store(part_first + item * H + head, d_first, mask=head < H)
            elif KIND == "dot":
                _store_row(part_first, item, d_first, head, channel, H, C)
        else:
            # Of hubs this writes zeros, which the sum of the pieces replaces.
            _store_row(grad_x, row, d_x, head, channel, H, C)
            if KIND == "gat":
                tl.store(grad_first + j * H + head, d_first, mask=head < H)
            elif KIND == "dot":
                _store_row(grad_first, row, d_first, head, channel, H, C)
    if KIND == "gatv2":
        _store_row(grad_att, program, d_att, head, channel, H, C)


@triton.jit(do_not_specialize=_NUMBERS)
def backward_destinations(
    x: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    edge_x: tl.tensor,
    grad_score: tl.tensor,
    grad: tl.tensor,
    part: tl.tensor,
    ptr: tl.tensor,
    col: tl.tensor,
    edge: tl.tensor,
    piece_row: tl.tensor,
    piece_begin: tl.tensor,
    x_stride: tl.tensor,
    first_stride: tl.tensor,
    num_pieces: tl.tensor,
    KIND: tl.constexpr,
    SETTING: tl.constexpr,
    BY_EDGE: tl.constexpr,
    H: tl.constexpr,
    C: tl.constexpr,
    BE: tl.constexpr,
    BH: tl.constexpr,
    BC: tl.constexpr,
    PIECE: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """Gradients by destination, from those of the scores: of ``second``, of gatv2 ``first``.

    ``BY_EDGE`` says where those of the scores are; see :func:`backward_sources`.
    """
    head = tl.program_id(1) * BH + tl.arange(0, BH)
    channel = tl.arange(0, BC)
    item = tl.program_id(0)
    row, begin, end = _span(item, ptr, piece_row, piece_begin, num_pieces, PIECE)
    sums = tl.zeros([BH], ACC) if KIND == "gat" else tl.zeros([BH, BC], ACC)
    if KIND == "gatv2":
        i, always = _one(row)
        a = _rows(first, i, first_stride, head, channel, always, H, C, ACC)
        b = _rows(second, i * 0, 0, head, channel, always, H, C, ACC)
    for start in range(begin, end, BE):
        position = start + tl.arange(0, BE)
        there = position < end
        target = position.to(tl.int64)
        f = None
        if BY_EDGE or edge_x is not None:
            e = tl.load(edge + position, mask=there, other=0).to(tl.int64)
            if edge_x is not None:
                f = _rows(edge_x, e, H * C, head, channel, there, H, C, ACC)
            if BY_EDGE:
                target = e
        d_score = _numbers(grad_score, target, H, head, there, H)
        if KIND == "gat":
            sums += tl.sum(d_score, axis=0)
        else:
            j = tl.load(col + position, mask=there, other=0).to(tl.int64)
            if KIND == "gatv2":
                values = _rows(x, j, x_stride, head, channel, there, H, C, ACC)
                d_pair = d_score[:, :, None] * b
                pair = _sum_of(values, a, f)
                sums += tl.sum(tl.where(pair > 0, d_pair, d_pair * SETTING), axis=0)
            else:
                key = _rows(first, j, first_stride, head, channel, there, H, C, ACC)
                if edge_x is not None:
                    key += f
                sums += tl.sum(d_score[:, :, None] * key, axis=0)
    if KIND == "dot":
        sums *= SETTING
    if piece_row is not None and item < num_pieces:
        if KIND == "gat":
            tl.store(part + item * H + head, sums, mask=head < H)
        else:
            _store_row(part, item, sums, head, channel, H, C)
    elif KIND == "gat":
        # Of hubs this writes zeros, which the sum of the pieces replaces.
        tl.store(grad + row.to(tl.int64) * H + head, sums, mask=head < H)
    else:
        _store_row(grad, row, sums, head, channel, H, C)
