"""The fused attention ops under ``torch.compile``, as custom ops.

In eager mode :mod:`graphattn.ops.attend.node` calls the kernels, which costs a third of what a
custom op does on small graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphattn.ops.attend import cpu, gpu
from graphattn.ops.attend.dot_score import DotScore
from graphattn.ops.attend.gat_score import GATScore
from graphattn.ops.attend.gatv2_score import GATv2Score
from graphattn.ops.attend.given_score import GivenScore, GivenWeight
from graphattn.ops.attend.node import Call, as_read, incoming
from graphattn.ops.attend.score import Score

__all__ = ["fused"]

# The scores with a kernel: compiled code can pass their names only.
_SCORES: dict[str, type[Score]] = {
    score.__name__: score for score in (DotScore, GATScore, GATv2Score, GivenScore, GivenWeight)
}


def fused(call: Call, operands: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
    """See :func:`graphattn.ops.attend.node.fused`; all operands are tensors."""
    # Autograd looks into lists of tensors, not into lists with gaps.
    slots = [slot for slot, operand in enumerate(operands) if operand is not None]
    there = [operand for operand in operands if operand is not None]
    out, alpha, _, _ = _forward(*_flat(call), slots, there)
    return out if call.wants_out else None, alpha if call.wants_alpha else None


def _flat(call: Call) -> tuple[Any, ...]:
    return (
        call.score.__name__,
        call.setting,
        call.implementation,
        call.edge_index,
        call.flipped,
        [call.num_src, call.num_dst, call.num_self_loops, call.heads, call.channels, call.width],
        call.dropout,
        call.seed,
        call.dtype,
        call.out_dtype,
        call.wants_out,
        call.wants_alpha,
    )


def _call(arguments: Sequence[Any]) -> Call:
    name, setting, implementation, edge_index, flipped, sizes, *others = arguments
    score = _SCORES[name]
    if score.kernel is None:
        raise TypeError(f"{name} has no kernel")
    where = (setting, implementation, edge_index, flipped)
    return Call(score, score.kernel, *where, *sizes, *others)


@torch.library.custom_op("graphattn::attend", mutates_args=())
def _forward(
    score: str,
    setting: float,
    implementation: str,
    edge_index: Tensor,
    flipped: bool,
    sizes: Sequence[int],
    dropout: float,
    seed: Tensor | None,
    dtype: torch.dtype,
    out_dtype: torch.dtype,
    wants_out: bool,
    wants_alpha: bool,
    slots: Sequence[int],
    operands: Sequence[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums, coefficients and, for backward, norms and sums without bias; some of them empty."""
    what = (score, setting, implementation, edge_index, flipped, sizes)
    call = _call((*what, dropout, seed, dtype, out_dtype, wants_out, wants_alpha))
    call.prepare()
    read = as_read(call, _placed(slots, operands))
    device = edge_index.device
    sums = torch.empty(_size_of_sums(call), dtype=dtype, device=device)
    run = cpu.forward if implementation == "cpu" else gpu.forward
    out, alpha, norm = run(call, read, sums=sums if sums.numel() > 0 else None)
    empty = torch.empty(0, dtype=dtype, device=device)
    if out is None:
        out = torch.empty(0, dtype=out_dtype, device=device)
    else:
        out = out[..., : call.channels].to(out_dtype).contiguous()
    return out, empty if alpha is None else alpha, norm, sums


@torch.library.custom_op("graphattn::attend_backward", mutates_args=())
def _backward(
    norm: Tensor,
    sums: Tensor,
    grad: Tensor | None,
    grad_alpha: Tensor | None,
    score: str,
    setting: float,
    implementation: str,
    edge_index: Tensor,
    flipped: bool,
    sizes: Sequence[int],
    dropout: float,
    seed: Tensor | None,
    dtype: torch.dtype,
    out_dtype: torch.dtype,
    wants_out: bool,
    wants_alpha: bool,
    slots: Sequence[int],
    operands: Sequence[Tensor],
) -> list[Tensor]:
    """Gradients of the operands that are there, but the bias."""
    what = (score, setting, implementation, edge_index, flipped, sizes)
    call = _call((*what, dropout, seed, dtype, out_dtype, wants_out, wants_alpha))
    call.prepare()
    there = _placed(slots, operands)
    read = as_read(call, there)
    run = cpu.backward if implementation == "cpu" else gpu.backward
    kept = sums if sums.numel() > 0 else None
    found = run(call, read, norm, kept, *incoming(call, (grad, grad_alpha)), (None,) * 3)
    return [
        one[..., : operand.size(-1)].to(operand.dtype).contiguous()
        for one, operand in zip(found, there, strict=False)
        if one is not None and operand is not None
    ]


def _placed(slots: Sequence[int], operands: Sequence[Tensor]) -> list[Tensor | None]:
    """Operands in the order of a call, with gaps."""
    there = dict(zip(slots, operands, strict=True))
    return [there.get(slot) for slot in range(6)]


def _size_of_sums(call: Call) -> tuple[int, ...]:
    if not (call.wants_out and call.kernel.softmax):
        return (0,)
    return call.num_dst, call.heads, call.width


@_forward.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    call, edges = _call(arguments[:-2]), arguments[3]

    def empty(*shape: int, dtype: torch.dtype = call.dtype) -> Tensor:
        out: Tensor = edges.new_empty(shape, dtype=dtype)
        return out

    rows = edges.size(-1) + call.num_self_loops
    return (
        empty(
            *((call.num_dst, call.heads, call.channels) if call.wants_out else (0,)),
            dtype=call.out_dtype,
        ),
        empty(*((rows, call.heads) if call.wants_alpha else (0,))),
        empty(*((call.num_dst, 2, call.heads) if call.kernel.softmax else (0,))),
        empty(*_size_of_sums(call)),
    )


@_backward.register_fake
def _(*arguments: Any) -> list[Tensor]:
    *_, slots, operands = arguments
    return [one.new_empty(one.shape) for slot, one in zip(slots, operands, strict=True) if slot < 5]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.arguments = inputs[:3], inputs[4:7], inputs[8:-2]
    ctx.slots = inputs[-2]
    ctx.save_for_backward(*output[2:], inputs[3], inputs[7], *inputs[-1])
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, grad: Tensor | None, grad_alpha: Tensor | None, *_: Tensor | None
) -> tuple[Any, ...]:
    norm, sums, edge_index, seed, *operands = ctx.saved_tensors
    before, between, after = ctx.arguments
    arguments = (*before, edge_index, *between, seed, *after)
    call = _call(arguments)
    grad = grad if call.wants_out else None
    grad_alpha = grad_alpha if call.wants_alpha else None
    grads: list[Tensor | None] = []
    grads += _backward(norm, sums, grad, grad_alpha, *arguments, ctx.slots, operands)
    if len(grads) < len(operands):
        grads.append(None if grad is None else _of_bias(operands[-1], grad.to(call.dtype)))
    return *(None,) * 13, grads


def _of_bias(bias: Tensor, grad: Tensor) -> Tensor:
    return (grad.sum(dim=0) if bias.dim() == 2 else grad).to(bias.dtype)


_forward.register_autograd(_differentiate, setup_context=_setup_context)
