"""What the fused attention ops share: their arguments, autograd and ``torch.compile``.

Each of them is one kernel of ``cpu`` (C++) or ``gpu`` (Triton), with the same arguments. In eager
mode a :class:`torch.autograd.Function` calls it, which costs a third of what a custom op does on
small graphs; under ``torch.compile`` a custom op, which the compiler takes as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._attend import cpu, gpu

__all__ = ["Call", "attend"]


class Call(NamedTuple):
    """Arguments of a kernel."""

    implementation: str
    """``cpu`` or ``gpu``."""
    kernel: str
    """Whose scores: ``gat``, ``gatv2``, ``dot``; ``given``, or ``spmm`` for given weights."""
    num_dst: int
    """Number of destinations."""
    num_self_loops: int
    """See :func:`graphattn.ops.gat_attend`."""
    setting: float
    """Slope of the LeakyReLU, or factor of the inner products."""
    dropout: float
    """Probability of dropping a coefficient."""
    donated: bool
    """Nobody else reads ``nodes`` and a bias of destinations: gradients may take their place."""
    edge_index: Tensor
    """Shape ``[2, E]``."""
    seed: Tensor | None
    """Of the dropout. Shape ``[1]``."""
    edge_x: Tensor | None
    """Features of the edges. Shape ``[E + num_self_loops, H, C]``."""
    edge_score: Tensor | None
    """Part of the scores, or the scores. Shape ``[E + num_self_loops, H]``."""
    bias: Tensor | None
    """Added to the sums. Shape ``[H, C]`` or ``[N_dst, H, C]``."""
    nodes: Sequence[Tensor]
    """Features to sum, shape ``[N_src, H, C]``, and what the score needs besides."""

    def has_distinct_rows(self) -> bool:
        """Whether every row of what may be donated is contiguous, in memory of its own."""
        bias = () if self.bias is None or self.bias.dim() == 2 else (self.bias,)
        return all(
            _native.rows(operand) is operand
            and (len(operand) < 2 or operand.stride(0) >= operand[0].numel())
            for operand in (*self.nodes, *bias)
        )

    def added(self) -> tuple[Tensor | None, int]:
        """The bias as kernels read it, and entries from that of a destination to the next one's."""
        if self.bias is None or self.bias.dim() == 2:
            return None if self.bias is None else self.bias.contiguous(), 0
        bias = _native.rows(self.bias)
        return bias, bias.stride(0)


def attend(call: Call) -> Tensor:
    """Run a fused attention op.

    Args:
        call: Its arguments. Features share one dtype; scores and bias have that in which it is
            accumulated.

    Returns:
        Shape ``[N_dst, H, C]``, in the dtype of the features.
    """
    channels = call.nodes[0].size(-1)
    on_cpu = call.implementation == "cpu"
    call = cpu.pad(call) if on_cpu else call._replace(donated=False)
    out: Tensor
    if torch.compiler.is_compiling():
        out, _ = _forward(*call)
    else:
        out = _Attend.apply(call[:7], *call[7:-1], *call.nodes)  # type: ignore[no-untyped-call]
    return out if out.size(-1) == channels else out[..., :channels]


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, settings: tuple[Any, ...], *tensors: Tensor | None) -> Tensor:
        out, norm = _run_forward(_call(settings, tensors))
        ctx.settings = settings
        ctx.save_for_backward(out, norm, *tensors)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out, norm, *tensors = ctx.saved_tensors
        call = _call(ctx.settings, tensors)
        replace = call.donated and not _is_kept() and call.has_distinct_rows()
        grads = _run_backward(call, out, norm, grad, replace=replace)
        edge_x, edge_score, nodes = _in_places(call, grads)
        bias = _gradient_of_bias(call, grad, replace=replace)
        return None, None, None, edge_x, edge_score, bias, *nodes


@torch.library.custom_op("graphattn::attend", mutates_args=())
def _forward(
    implementation: str,
    kernel: str,
    num_dst: int,
    num_self_loops: int,
    setting: float,
    dropout: float,
    donated: bool,
    edge_index: Tensor,
    seed: Tensor | None,
    edge_x: Tensor | None,
    edge_score: Tensor | None,
    bias: Tensor | None,
    nodes: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Sums and, per node, shift and inverse sum of the softmax of each head."""
    call = Call(
        implementation,
        kernel,
        num_dst,
        num_self_loops,
        setting,
        dropout,
        donated,
        edge_index,
        seed,
        edge_x,
        edge_score,
        bias,
        nodes,
    )
    return _run_forward(call)


@torch.library.custom_op("graphattn::attend_backward", mutates_args=())
def _backward(
    out: Tensor,
    norm: Tensor,
    grad: Tensor,
    implementation: str,
    kernel: str,
    num_dst: int,
    num_self_loops: int,
    setting: float,
    dropout: float,
    donated: bool,
    edge_index: Tensor,
    seed: Tensor | None,
    edge_x: Tensor | None,
    edge_score: Tensor | None,
    bias: Tensor | None,
    nodes: Sequence[Tensor],
) -> list[Tensor]:
    """Gradients of the nodes' operands and of those of edges that are there."""
    call = Call(
        implementation,
        kernel,
        num_dst,
        num_self_loops,
        setting,
        dropout,
        donated,
        edge_index,
        seed,
        edge_x,
        edge_score,
        bias,
        nodes,
    )
    return _run_backward(call, out, norm, grad)


@_forward.register_fake
def _(implementation: str, kernel: str, num_dst: int, *others: Any) -> tuple[Tensor, Tensor]:
    x = others[-1][0]
    accumulator = torch.promote_types(x.dtype, torch.float32)
    norm = x.new_empty((num_dst, 2, x.size(1)), dtype=accumulator)
    return x.new_empty(num_dst, *x.shape[1:]), norm


@_backward.register_fake
def _(*arguments: Any) -> list[Tensor]:
    *_, edge_x, edge_score, _, nodes = arguments
    return [t.new_empty(t.shape) for t in (*nodes, edge_x, edge_score) if t is not None]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.settings = inputs[:7]
    ctx.save_for_backward(*output, *inputs[7:-1], *inputs[-1])


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    out, norm, *tensors = ctx.saved_tensors
    call = _call(ctx.settings, tensors)
    edge_x, edge_score, nodes = _in_places(call, _backward(out, norm, grad, *call))
    return *(None,) * 9, edge_x, edge_score, _gradient_of_bias(call, grad), nodes


_forward.register_autograd(_differentiate, setup_context=_setup_context)


def _call(settings: tuple[Any, ...], tensors: Sequence[Tensor | None]) -> Call:
    """The arguments, from the settings before the tensors and these, those of the nodes last."""
    return Call._make((*settings, *tensors[:5], tensors[5:]))


def _run_forward(call: Call) -> tuple[Tensor, Tensor]:
    return gpu.forward(call) if call.implementation == "gpu" else cpu.forward(call)


def _run_backward(
    call: Call, out: Tensor, norm: Tensor, grad: Tensor, *, replace: bool = False
) -> list[Tensor]:
    grad = grad.contiguous()
    if call.implementation == "gpu":
        return gpu.backward(call, out, norm, grad)
    return cpu.backward(call, out, norm, grad, replace=replace)


def _is_kept() -> bool:
    """Whether the graph that backward runs through is to be used again."""
    # What AOTAutograd asks before it writes into "donated buffers".
    return bool(torch._C._autograd._get_current_graph_task_keep_graph())


def _gradient_of_bias(call: Call, grad: Tensor, *, replace: bool = False) -> Tensor | None:
    if call.bias is None:
        return None
    if call.bias.dim() == 2:
        return grad.sum(dim=0, dtype=call.bias.dtype)
    return call.bias.detach().copy_(grad) if replace else grad.to(call.bias.dtype)


def _in_places(
    call: Call, grads: Sequence[Tensor]
) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
    """Gradients of edges and nodes as they follow each other in a call."""
    nodes, rest = list(grads[: len(call.nodes)]), iter(grads[len(call.nodes) :])
    edge_x, edge_score = (
        None if operand is None else next(rest) for operand in (call.edge_x, call.edge_score)
    )
    return edge_x, edge_score, nodes
