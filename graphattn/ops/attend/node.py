"""Projection and attention as one node of autograd.

In forward, operands that are linear maps of the same features are computed as one matrix, in memory
that only this node knows; in backward their gradients take its place. So a layer needs no other
memory of the size of its nodes, and nothing that anybody else can see is ever written.

Derivatives of higher order, and those that ``torch.func`` and forward-mode AD take, are those of
the definition in plain torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphattn.ops import _native
from graphattn.ops._transforms import gradients_by_definition, takes_kernels
from graphattn.ops.attend import cpu, gpu, reference
from graphattn.ops.attend.projection import Projection
from graphattn.ops.attend.score import Kernel, Score
from graphattn.ops.graph import Graph, prepare

__all__ = ["Call", "Operand", "as_read", "fused", "incoming"]

Operand = Tensor | Projection | None

_DENSE = 32
"""Edges per source from which on projections are worth less than their memory."""


@dataclass(eq=False)
class Call:
    """What is asked of a kernel, besides its operands.

    These are, in this order: the values and the other two operands of nodes, as ``Kernel.nodes`` of
    the score says; ``edge_x`` and ``edge_score``; and the bias. Each may be ``None``.
    """

    score: type[Score]
    """Class of the score."""
    kernel: Kernel
    """Its kernel."""
    setting: float
    """Number that it takes."""
    implementation: str
    """``cpu`` or ``gpu``."""
    edge_index: Tensor
    """Shape ``[2, E]``, or ``[E]`` as in :func:`graphattn.ops.graph.prepare`."""
    flipped: bool
    """Whether destinations come first in ``edge_index``."""
    num_src: int
    """Number of sources."""
    num_dst: int
    """Number of destinations."""
    num_self_loops: int
    """See :func:`graphattn.ops.attend`."""
    heads: int
    """Number of heads."""
    channels: int
    """Channels of wide operands."""
    width: int
    """The same as kernels read them: filled up with zeros where that makes them faster."""
    dropout: float
    """Probability of dropping a coefficient."""
    seed: Tensor | None
    """Of the dropout. Shape ``[1]``."""
    dtype: torch.dtype
    """In which everything is computed."""
    out_dtype: torch.dtype
    """Of the sums."""
    wants_out: bool
    """Whether the sums are asked for."""
    wants_alpha: bool
    """Whether the coefficients are asked for."""
    is_recorded: bool = True
    """Whether autograd is on: inside of a node it never is."""
    graph: Graph = field(init=False)
    """The graph, once :meth:`prepare` was called."""

    def prepare(self) -> None:
        """Make the graph ready."""
        self.graph = prepare(
            self.edge_index,
            num_src=self.num_src,
            num_dst=self.num_dst,
            num_self_loops=self.num_self_loops,
            flipped=self.flipped,
            native=self.implementation == "cpu",
        )

    def by_definition(
        self, operands: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Sums and coefficients in plain torch."""
        kernel = self.kernel
        fields = dict(zip(kernel.nodes, operands[1:3], strict=False))
        for name, operand in zip(
            (kernel.values, kernel.edge_x, kernel.edge_score),
            (operands[0], operands[3], operands[4]),
            strict=True,
        ):
            if name is not None:
                fields[name] = operand
        setting = {} if kernel.setting is None else {kernel.setting: self.setting}
        edges = self.edge_index if self.edge_index.dim() == 2 else self.edge_index.expand(2, -1)
        out, alpha = reference.attend(
            operands[0] if self.wants_out else None,
            self.score(**fields, **setting),
            edges.flip(0) if self.flipped else edges,
            self.num_dst,
            self.num_self_loops,
            self.dropout,
            self.seed,
            operands[5],
            softmax=kernel.softmax,
        )
        return out, alpha if self.wants_alpha else None


class _Block(NamedTuple):
    """Columns of a matrix of projections that are one operand."""

    slot: int
    """Place of the operand."""
    start: int
    """First column."""
    size: int
    """Number of columns."""
    weight: int
    """Place of the weight among the inputs of the node."""
    bias: int | None
    """That of its bias."""
    scorer: int | None
    """That of a scorer, of which the operand has the inner products."""


class _Matrix(NamedTuple):
    """Projections of the same features."""

    x: int
    """Place of the features among the inputs of the node."""
    width: int
    """Number of columns."""
    blocks: list[_Block]
    """Its columns, in order."""


class _Plan(NamedTuple):
    """How the operands of a kernel follow from the inputs of the node."""

    direct: list[int | None]
    """Of every operand the place of the input that it is, if it is one."""
    matrices: list[_Matrix]
    """The other operands."""


def fused(call: Call, operands: Sequence[Operand]) -> tuple[Tensor | None, Tensor | None]:
    """Run a kernel as one node of autograd.

    Args:
        call: What is asked for.
        operands: Its operands; projections in native form only.

    Returns:
        Sums ``[N_dst, H, C]`` and coefficients ``[E + num_self_loops, H]``, where asked for.
    """
    call.prepare()
    call.is_recorded = torch.is_grad_enabled()
    place: dict[Tensor | None, Any] = {None: None}  # tensors are equal to themselves only
    direct: list[int | None] = []
    blocks: dict[int, list[_Block]] = {}
    for slot, operand in enumerate(operands):
        if not isinstance(operand, Projection):
            direct.append(place.setdefault(operand, len(place) - 1))
            continue
        direct.append(None)
        x, weight, bias, scorer = (operand.x, operand.weight, operand.bias, operand.att)
        before = blocks.setdefault(place.setdefault(x, len(place) - 1), [])
        start = before[-1].start + before[-1].size if before else 0
        size = operand.heads if scorer is not None else operand.heads * call.width
        weight = place.setdefault(weight, len(place) - 1)
        bias = place.setdefault(bias, len(place) - 1)
        scorer = place.setdefault(scorer, len(place) - 1)
        before.append(_Block(slot, start, size, weight, bias, scorer))
    matrices = []
    for k, found in blocks.items():
        matrices.append(_Matrix(k, found[-1].start + found[-1].size, found))
    del place[None]
    out: tuple[Tensor | None, Tensor | None] = _Attend.apply(  # type: ignore[no-untyped-call]
        call, _Plan(direct, matrices), *place
    )
    return out


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: Call, plan: _Plan, *inputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        projected = []
        for matrix in plan.matrices:
            projected.append(_project(matrix, inputs, call))
        operands = _operands(call, plan, inputs, projected)
        differentiable = call.is_recorded and any(ctx.needs_input_grad)
        sums = _room_for_sums(call, plan, operands) if differentiable else None
        run = cpu.forward if call.implementation == "cpu" else gpu.forward
        out, alpha, norm = run(call, operands, sums=sums)
        if differentiable:
            ctx.call, ctx.plan = call, plan
            ctx.again = _is_cheap(call) and not (sums is not None and sums is operands[5])
            if ctx.again:
                _native.give_back(*projected)
                projected = []
            # Edges and seed are saved so that torch sees it if somebody changes them in between.
            ctx.save_for_backward(*inputs, *projected, norm, sums, call.edge_index, call.seed)
            ctx.set_materialize_grads(False)
            # What hooks have been given may be read again.
            ctx.is_private = torch._C._autograd._top_saved_tensors_default_hooks(False) is None
        else:
            _native.give_back(*projected)
        if out is not None and (out.dtype != call.out_dtype or call.width != call.channels):
            out = out[..., : call.channels].to(call.out_dtype).contiguous()
        return out, alpha

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        call, plan, saved = ctx.call, ctx.plan, ctx.saved_tensors[:-2]
        end = 2 if ctx.again else len(plan.matrices) + 2
        inputs, projected, (norm, sums) = saved[:-end], saved[-end:-2], saved[-2:]
        needed = ctx.needs_input_grad[2:]
        if all(grad is None for grad in grads):
            return (None,) * (2 + len(inputs))
        if torch.is_grad_enabled() or not takes_kernels(grads):
            definition = partial(_by_definition, call, plan)
            return None, None, *gradients_by_definition(definition, inputs, grads, needed)
        if ctx.again:
            projected = [_project(matrix, inputs, call) for matrix in plan.matrices]
        operands = _operands(call, plan, inputs, projected)
        grad, grad_alpha = incoming(call, grads)
        # torch's AOTAutograd asks the same before it writes into buffers of its own.
        kept = torch._C._autograd._get_current_graph_task_keep_graph()
        private = ctx.is_private and not kept and call.implementation == "cpu"
        replace = (private or ctx.again) and len(projected) > 0 and cpu.in_one_part(call)
        room = [one if replace else _native.empty(one.shape, one.dtype) for one in projected]
        places = _places(call, plan, room)
        late, borrowed = call.kernel.late, None
        if replace and late is not None and (borrowed := places[late]) is not None:
            places[late] = _spare(borrowed, sums if private else None)
        run = cpu.backward if call.implementation == "cpu" else gpu.backward
        found = run(call, operands, norm, sums, grad, grad_alpha, places[:3])
        if borrowed is not None and late is not None:
            borrowed.copy_(found[late])
            places[late] = borrowed
        found.append(_gradient_of_bias(operands[5], grad))
        pulled = _pull_back(call, plan, inputs, room, places, found, needed)
        if private:
            _native.give_back(*projected, sums)
        return None, None, *pulled


def incoming(call: Call, grads: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of sums and coefficients as kernels read them."""
    grad, grad_alpha = (None if one is None else _computed(one, call) for one in grads)
    if grad is not None:
        grad = _filled(grad, call.width)
        grad = _native.on_huge_pages(grad) if call.implementation == "cpu" else grad.contiguous()
    return grad, None if grad_alpha is None else grad_alpha.contiguous()


def as_read(call: Call, operands: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Operands as kernels read them: of one type, rows contiguous, channels filled up."""
    found: list[Tensor | None] = []
    for slot, one in enumerate(operands):
        if one is not None:
            is_parameter = slot == call.kernel.parameter
            one = one if one.dtype == call.dtype and not one.is_neg() else _computed(one, call)
            if call.width != call.channels and (one.dim() == 3 or slot == 5 or is_parameter):
                one = _filled(one, call.width)
            if not one.is_contiguous():
                by_row = not is_parameter and (slot < 3 or (slot == 5 and one.dim() == 3))
                one = _native.rows(one) if by_row else one.contiguous()
        found.append(one)
    return found


def _computed(tensor: Tensor, call: Call) -> Tensor:
    """The same numbers in the type in which everything is computed, none negated by a mark."""
    tensor = tensor.resolve_neg() if tensor.is_neg() else tensor
    # Triton kernels convert wide rows as they read them.
    read_as_is = call.implementation == "gpu" and tensor.dim() == 3
    return tensor if read_as_is else tensor.to(call.dtype)


def _filled(tensor: Tensor, width: int) -> Tensor:
    """The last dimension filled up with zeros."""
    missing = width - tensor.size(-1)
    return pad(tensor, (0, missing)) if missing > 0 else tensor


def _is_cheap(call: Call) -> bool:
    """Whether projections are computed again in backward, for less than a tenth of its time."""
    return call.implementation == "cpu" and call.graph.num_edges > _DENSE * call.num_src


def _project(matrix: _Matrix, inputs: Sequence[Tensor], call: Call) -> Tensor:
    """The linear maps of a matrix, side by side."""
    x, weight = inputs[matrix.x], _weights(matrix, inputs, call)
    out = _native.borrow((x.size(0), matrix.width), call.dtype)
    biases = [block.bias for block in matrix.blocks]
    if biases.count(None) == len(biases):
        return torch.mm(x, weight.t(), out=out)
    parts = []
    for block in matrix.blocks:
        bias = None if block.bias is None else _fill_heads(inputs[block.bias], call)
        parts.append(weight.new_zeros(block.size) if bias is None else bias)
    return torch.addmm(torch.cat(parts), x, weight.t(), out=out)


def _weights(matrix: _Matrix, inputs: Sequence[Tensor], call: Call) -> Tensor:
    """The weights of all blocks, one below the other."""
    rows = []
    for block in matrix.blocks:
        weight, scorer = inputs[block.weight], block.scorer
        if scorer is None:
            rows.append(_fill_heads(weight, call))
        else:
            by_head = weight.view(call.heads, -1, weight.size(1))
            rows.append(torch.bmm(inputs[scorer].view(call.heads, 1, -1), by_head).squeeze(1))
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _fill_heads(weight: Tensor, call: Call) -> Tensor:
    """Rows of a weight, or entries of a bias, with zeros behind those of every head."""
    if call.width == call.channels:
        return weight
    by_head = weight.view(call.heads, call.channels, -1)
    return pad(by_head, (0, 0, 0, call.width - call.channels)).view(-1, *weight.shape[1:])


def _operands(
    call: Call, plan: _Plan, inputs: Sequence[Tensor], projected: Sequence[Tensor]
) -> list[Tensor | None]:
    """All operands as kernels read them."""
    operands = as_read(call, [None if k is None else inputs[k] for k in plan.direct])
    for slot, place in enumerate(_places(call, plan, projected)):
        if place is not None:
            operands[slot] = place
    return operands


def _places(call: Call, plan: _Plan, matrices: Sequence[Tensor]) -> list[Tensor | None]:
    """The blocks of matrices in the places of operands."""
    places: list[Tensor | None] = [None] * 6
    for matrix, memory in zip(plan.matrices, matrices, strict=True):
        rows, stride, offset = memory.size(0), memory.stride(0), memory.storage_offset()
        for slot, start, size, _, _, scorer in matrix.blocks:
            if scorer is None:
                shape, strides = (rows, call.heads, call.width), (stride, call.width, 1)
                columns = memory.as_strided(shape, strides, offset + start)
            else:
                columns = memory.as_strided((rows, size), (stride, 1), offset + start)
            places[slot] = columns if slot not in (3, 4) else columns.contiguous()
    return places


def _room_for_sums(call: Call, plan: _Plan, operands: Sequence[Tensor | None]) -> Tensor | None:
    """Memory for the sums without bias, whose products with the gradient backward needs."""
    if not (call.wants_out and call.kernel.softmax):
        return None
    bias = operands[5]
    if bias is not None and bias.dim() == 3 and plan.direct[5] is None:
        # A projection that is only added to the sums, which take its place.
        return bias
    shape = (call.num_dst, call.heads, call.width)
    if call.implementation == "gpu":
        return torch.empty(shape, dtype=call.dtype, device=call.edge_index.device)
    return _native.borrow(shape, call.dtype)


def _spare(operand: Tensor, sums: Tensor | None) -> Tensor:
    """Memory in the shape of an operand of sources: that of the sums, of use only before."""
    if sums is not None and len(sums) >= len(operand):
        return sums[: len(operand)]
    return _native.empty(operand.shape, operand.dtype)


def _gradient_of_bias(bias: Tensor | None, grad: Tensor | None) -> Tensor | None:
    if bias is None or grad is None:
        return None
    return grad.sum(dim=0) if bias.dim() == 2 else grad


def _pull_back(
    call: Call,
    plan: _Plan,
    inputs: Sequence[Tensor],
    matrices: Sequence[Tensor],
    places: Sequence[Tensor | None],
    found: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of the inputs from those of the operands."""
    grads: list[Tensor | None] = [None] * len(inputs)

    def add(k: int, grad: Tensor) -> None:
        before, dtype = grads[k], inputs[k].dtype
        grad = grad if grad.dtype == dtype else grad.to(dtype)
        grads[k] = grad if before is None else before + grad

    for slot, k in enumerate(plan.direct):
        if k is not None and needed[k] and (one := found[slot]) is not None:
            add(k, one[..., : inputs[k].size(-1)])
    for matrix, memory in zip(plan.matrices, matrices, strict=True):
        for slot, start, size, *_ in matrix.blocks:
            one = found[slot]
            if one is None:
                memory[:, start : start + size].zero_()
            elif one is not places[slot]:
                memory[:, start : start + size].copy_(one.flatten(1))
        x = inputs[matrix.x]
        if needed[matrix.x]:
            weights = _weights(matrix, inputs, call)
            add(matrix.x, torch.mm(memory, weights, out=_native.empty(x.shape, x.dtype)))
        parameters = [k for block in matrix.blocks for k in block[3:] if k is not None]
        if not any(needed[k] for k in parameters):
            continue
        by_feature = torch.mm(memory.t(), x)
        for _, start, size, weight, bias, scorer in matrix.blocks:
            rows, shape = by_feature[start : start + size], inputs[weight].shape
            if scorer is None:
                if needed[weight]:
                    add(weight, _real_channels(rows, call).reshape(shape))
                if bias is not None and needed[bias]:
                    total = memory[:, start : start + size].sum(dim=0)
                    add(bias, _real_channels(total, call).flatten())
                continue
            if needed[weight]:
                by_row = inputs[scorer].view(call.heads, -1, 1) * rows.unsqueeze(1)
                add(weight, by_row.view(shape))
            if needed[scorer]:
                by_head = inputs[weight].view(call.heads, -1, x.size(1))
                add(scorer, torch.bmm(by_head, rows.unsqueeze(2)).view_as(inputs[scorer]))
    return grads


def _real_channels(rows: Tensor, call: Call) -> Tensor:
    """Of the rows of a block those that are no filling. Shape ``[H, C, ...]``."""
    return rows.view(call.heads, call.width, -1)[:, : call.channels]


def _by_definition(
    call: Call, plan: _Plan, inputs: Sequence[Tensor]
) -> tuple[Tensor | None, Tensor | None]:
    """Sums and coefficients in plain torch."""
    operands = [None if k is None else inputs[k] for k in plan.direct]
    for matrix in plan.matrices:
        for block in matrix.blocks:
            x, weight = inputs[matrix.x], inputs[block.weight]
            bias, att = (None if k is None else inputs[k] for k in (block.bias, block.scorer))
            operands[block.slot] = Projection(x, weight, bias, call.heads, att).compute()
    return call.by_definition(operands)
