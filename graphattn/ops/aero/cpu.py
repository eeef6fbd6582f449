r"""Native CPU form of :func:`graphattn.ops.aero_propagate`, over ``_native/aero.cpp``.

Of every step, forward keeps the state and numbers per node and head; of the sums it keeps every
:math:`\sqrt{K}`-th, from which backward makes the others again. Nothing per edge is kept.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import elu

from graphattn.ops import _native
from graphattn.ops._transforms import gradients_by_definition, takes_kernels
from graphattn.ops.aero.reference import propagate_from
from graphattn.ops.graph import Graph, prepare, sort_rows
from graphattn.ops.kept import kept

__all__ = ["aero_propagate"]


def aero_propagate(
    x: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att_0: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    decay: Sequence[float],
) -> Tensor:
    """See :func:`graphattn.ops.aero_propagate`; values in ``float32`` or ``float64``."""
    activated = elu(x) if torch.compiler.is_compiling() else _ELU.apply(x)  # type: ignore[no-untyped-call]
    gamma = (activated * hop_att_0).sum(dim=-1) + hop_bias[0]
    z = gamma.unsqueeze(-1) * x
    if not decay:
        return z
    given = (x, z, edge_index, att, hop_att, hop_bias[1:])
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    if torch.compiler.is_compiling():
        out: Tensor = _forward(*given, list(decay), keep)[0]
    else:
        out = _Propagate.apply(list(decay), keep, *given)  # type: ignore[no-untyped-call]
    return out


class _ELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = _native.elu(x.contiguous())
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor | None:
        x, out = ctx.saved_tensors
        if torch.is_grad_enabled() or not takes_kernels([grad]):
            return gradients_by_definition(lambda given: [elu(given[0])], [x], [grad], [True])[0]
        return grad * torch.where(x > 0, 1.0, out + 1.0)


class _Propagate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, decay: list[float], keep: bool, *given: Tensor) -> Tensor:
        x, z, edge_index, att, hop_att, hop_bias = given
        out, *states = _run_forward(x, z, edge_index, att, hop_att, hop_bias, decay, keep)
        ctx.decay = decay
        ctx.save_for_backward(*given, *states)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved_tensors = ctx.saved_tensors
        given, saved = saved_tensors[:6], saved_tensors[6:]
        x, z, edge_index, att, hop_att, _ = given
        states, sums, gamma, scale = saved
        if torch.is_grad_enabled() or not takes_kernels([grad]):

            def definition(inputs: Sequence[Tensor]) -> list[Tensor]:
                x, z, edge_index, att, hop_att, hop_bias = inputs
                return [propagate_from(x, z, edge_index, att, hop_att, hop_bias, ctx.decay)]

            needed = ctx.needs_input_grad[2:]
            return None, None, *gradients_by_definition(definition, given, [grad], needed)
        grads = _run_backward(
            grad, x, z, states, sums, gamma, scale, edge_index, att, hop_att, ctx.decay
        )
        return None, None, *grads[:2], None, *grads[2:]


class _Arguments(ctypes.Structure):
    """``GraphattnAero`` of ``aero.cpp``."""

    _fields_: ClassVar = [
        ("graph", _native.Graph),
        *((name, ctypes.c_int64) for name in ("heads", "channels", "threads", "symmetric")),
        ("decay", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("h", "att", "hop_att", "hop_bias")),
        *((name, ctypes.c_void_p) for name in ("z", "out", "gamma", "scale")),
        *((f"grad_{name}", ctypes.c_void_p) for name in ("out", "z", "h", "att", "hop", "bias")),
        *((name, ctypes.c_void_p) for name in ("exp_z", "largest", "weight", "slope", "dot")),
        *((name, ctypes.c_void_p) for name in ("eta", "grad_gamma", "parts")),
    ]


class _Steps:
    """The kernel with what all steps share: graph, sizes, scratch."""

    def __init__(self, x: Tensor, edge_index: Tensor, *, backward: bool) -> None:
        nodes, heads, channels = x.shape
        self.backward = backward
        self.ascending = _ascending(edge_index, nodes)
        edges, spans = edge_index.size(1), -(-nodes // _native.BLOCK)
        shapes: dict[str, tuple[int, ...]] = {
            "exp_z": (nodes, heads, channels),
            "largest": (spans,),
            "weight": (edges, heads),
        }
        if backward:
            shapes |= dict.fromkeys(("slope", "dot"), (edges, heads))
            shapes |= dict.fromkeys(("eta", "grad_gamma"), (nodes, heads))
            shapes["parts"] = (spans, heads * (3 * channels + 1))
        # The kernel holds addresses only; this keeps the arrays.
        self.scratch = {name: x.new_empty(shape) for name, shape in shapes.items()}
        self.filled = _native.arguments(
            _Arguments,
            graph=self.ascending.native,
            heads=heads,
            channels=channels,
            threads=torch.get_num_threads(),
            symmetric=self.ascending.symmetric,
            **self.scratch,
        )

    def __call__(self, decay: float, **arrays: Tensor) -> None:
        """Take one step; all arrays are contiguous."""
        self.filled.decay = decay
        for name, array in arrays.items():
            setattr(self.filled, name, array.data_ptr())
        _native.call("aero", self.filled, arrays["z"].dtype, self.backward)


def _run_forward(
    x: Tensor,
    z: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    decay: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Last sum; then, if ``keep``, states, sums, hop attention and roots for backward."""
    states, sums, gamma, scale = _kept(x, len(decay), keep)
    every = _every(len(decay))
    h, z = x.contiguous(), z.clone(memory_format=torch.contiguous_format)
    att, hop_att, hop_bias = att.contiguous(), hop_att.contiguous(), hop_bias.contiguous()
    step = _Steps(x, edge_index, backward=False)
    for k, factor in enumerate(decay):
        if keep and k > 0 and k % every == 0:
            sums[k // every - 1] = z
        out = states[k % len(states)]
        step(
            factor,
            h=h,
            z=z,
            att=att[k],
            hop_att=hop_att[k],
            hop_bias=hop_bias[k],
            out=out,
            gamma=gamma[k % len(gamma)],
            scale=scale[k % len(scale)],
        )
        h = out
    if keep:
        return z, states, sums, gamma, scale
    return z, *_nothing(x)


def _run_backward(
    grad: Tensor,
    x: Tensor,
    z: Tensor,
    states: Tensor,
    sums: Tensor,
    gamma: Tensor,
    scale: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att: Tensor,
    decay: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x``, ``z``, ``att``, ``hop_att`` and ``hop_bias``."""
    steps, heads, _ = att.shape
    every = _every(steps)
    x, z, att, hop_att = x.contiguous(), z.contiguous(), att.contiguous(), hop_att.contiguous()
    grad_z = grad.clone(memory_format=torch.contiguous_format)
    grad_out, grad_h = grad_z.new_zeros(x.shape), grad_z.new_empty(x.shape)
    step = _Steps(x, edge_index, backward=True)
    grad_att, grad_hop = torch.empty_like(att), torch.empty_like(hop_att)
    grad_bias = att.new_empty(steps, heads)
    room = x.new_empty(every - 1, *x.shape)
    for first in reversed(range(0, steps, every)):
        before = [sums[first // every - 1] if first > 0 else z]
        for k, place in zip(range(first, steps - 1), room, strict=False):
            before.append(torch.addcmul(before[-1], gamma[k].unsqueeze(-1), states[k], out=place))
        for k in reversed(range(first, first + len(before))):
            step(
                decay[k],
                h=states[k - 1] if k > 0 else x,
                z=before.pop(),
                att=att[k],
                hop_att=hop_att[k],
                out=states[k],
                gamma=gamma[k],
                scale=scale[k],
                grad_out=grad_out,
                grad_z=grad_z,
                grad_h=grad_h,
                grad_att=grad_att[k],
                grad_hop=grad_hop[k],
                grad_bias=grad_bias[k],
            )
            grad_out, grad_h = grad_h, grad_out
    return grad_out, grad_z, grad_att, grad_hop, grad_bias


def _every(steps: int) -> int:
    """After how many steps a sum is kept."""
    return math.ceil(math.sqrt(steps))


def _kept(x: Tensor, steps: int, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Arrays for states, sums, hop attention and roots; without ``keep`` just to work in."""
    nodes, heads, channels = x.shape
    sums = -(-steps // _every(steps)) - 1 if keep else 0
    return (
        x.new_empty(steps if keep else min(steps, 2), nodes, heads, channels),
        x.new_empty(sums, nodes, heads, channels),
        x.new_empty(steps if keep else 1, nodes, heads),
        x.new_empty(steps if keep else 1, nodes, heads),
    )


def _nothing(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return x.new_empty(0), x.new_empty(0), x.new_empty(0), x.new_empty(0)


class _Ascending(NamedTuple):
    """A graph as the kernel wants it."""

    graph: Graph
    """Rows in which columns ascend."""
    native: _native.Graph
    """The same; of a symmetric graph, its rows by source are those by destination."""
    symmetric: bool
    """Whether the reverse of the edge at each place is an edge too, at that of ``position``."""


def _ascending(edge_index: Tensor, nodes: int) -> _Ascending:
    """Sort the edges of a graph by destination, then by source; :func:`kept` beside them."""
    return kept(edge_index, ("ascending", nodes), lambda: _sort(edge_index, nodes))


def _sort(edge_index: Tensor, nodes: int) -> _Ascending:
    given = prepare(edge_index, num_src=nodes, num_dst=nodes, native=True)
    # By source, destinations ascend; sorting these by destination keeps sources in order.
    tptr, trow, _ = given.by_source
    src = torch.repeat_interleave(tptr.diff()).to(trow.dtype)
    graph = sort_rows(torch.stack([src, trow]), nodes, nodes)
    native = graph.transposed
    tptr, trow, _ = graph.by_source
    symmetric = torch.equal(graph.rowptr, tptr) and torch.equal(graph.col, trow)
    if symmetric:
        native.tptr, native.trow = native.rowptr, native.col
    return _Ascending(graph, native, symmetric)


# Under torch.compile.
_forward = torch.library.custom_op(
    "graphattn::aero_propagate", _run_forward, mutates_args=(), device_types="cpu"
)
_backward = torch.library.custom_op(
    "graphattn::aero_propagate_backward", _run_backward, mutates_args=(), device_types="cpu"
)


@_forward.register_fake
def _(
    x: Tensor,
    z: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att: Tensor,
    hop_bias: Tensor,
    decay: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), *(_kept(x, len(decay), keep) if keep else _nothing(x))


@_backward.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    z: Tensor,
    states: Tensor,
    sums: Tensor,
    gamma: Tensor,
    scale: Tensor,
    edge_index: Tensor,
    att: Tensor,
    hop_att: Tensor,
    decay: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    steps, heads, _ = att.shape
    return (
        x.new_empty(x.shape),
        x.new_empty(x.shape),
        att.new_empty(att.shape),
        hop_att.new_empty(hop_att.shape),
        att.new_empty(steps, heads),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, z, edge_index, att, hop_att, _, decay, _ = inputs
    ctx.save_for_backward(x, z, *output[1:], edge_index, att, hop_att)
    ctx.decay = decay
    # Zeros for what only backward reads would take the memory of all states.
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad: Tensor | None, *_: Tensor) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 8
    grads = _backward(grad, *ctx.saved_tensors, ctx.decay)
    return *grads[:2], None, *grads[2:], None, None


_forward.register_autograd(_differentiate, setup_context=_setup_context)
