"""Native CPU form of :func:`graphattn.ops.gatv2_attend`, over ``_native/gatv2.cpp``."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._csr import cached_csr

__all__ = ["gatv2_attend"]


def gatv2_attend(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_index: Tensor,
    edge_x: Tensor | None,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
) -> Tensor:
    """See :func:`graphattn.ops.gatv2_attend`."""
    dtype = torch.promote_types(x_src.dtype, torch.float32)
    channels = x_src.size(-1)
    out, _ = _forward(
        _native.pad_channels(x_src),
        _native.pad_channels(x_dst.to(x_src.dtype)),
        _native.pad_channels(att.to(dtype)),
        None if edge_x is None else _native.pad_channels(edge_x.to(x_src.dtype)),
        edge_index,
        num_self_loops,
        negative_slope,
        dropout,
        seed,
    )
    result: Tensor = out[..., :channels]
    return result


class _Arguments(ctypes.Structure):
    """``GraphattnGatv2`` of ``gatv2.cpp``."""

    _fields_: ClassVar = [
        ("graph", _native.Graph),
        *((name, ctypes.c_int64) for name in ("heads", "channels", "threads")),
        *((name, ctypes.c_double) for name in ("slope", "dropout")),
        ("seed", ctypes.c_uint64),
        *((name, ctypes.c_void_p) for name in ("x_src", "x_dst", "att", "edge_x")),
        *((f"{name}_stride", ctypes.c_int64) for name in ("x_src", "x_dst")),
        *((name, ctypes.c_void_p) for name in ("out", "norm", "grad")),
        *((f"grad_{name}", ctypes.c_void_p) for name in ("x_src", "x_dst", "edge_x", "att")),
        *((name, ctypes.c_void_p) for name in ("scratch", "mean")),
    ]


@torch.library.custom_op("graphattn::gatv2_attend", mutates_args=(), device_types="cpu")
def _forward(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_x: Tensor | None,
    edge_index: Tensor,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Sums and, per node, shift and inverse sum of the softmax of each head."""
    out = x_dst.new_empty(x_dst.shape)
    norm = att.new_empty(x_dst.size(0), 2, att.size(0))
    _run(
        False,
        x_src,
        x_dst,
        att,
        edge_x,
        edge_index,
        num_self_loops,
        seed,
        slope=negative_slope,
        dropout=dropout,
        out=out,
        norm=norm,
    )
    return out, norm


@torch.library.custom_op("graphattn::gatv2_attend_backward", mutates_args=(), device_types="cpu")
def _backward(
    grad: Tensor,
    out: Tensor,
    norm: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_x: Tensor | None,
    edge_index: Tensor,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x_src``, ``x_dst``, ``att`` and ``edge_x`` (or nothing)."""
    grad_src, grad_dst = x_src.new_empty(x_src.shape), x_dst.new_empty(x_dst.shape)
    # Self-loops that do not count stay zero.
    grad_edge = x_src.new_zeros(0 if edge_x is None else edge_x.size(0), *att.shape)
    blocks = -(-x_src.size(0) // _native.BLOCK)
    grad_att = att.new_empty(blocks, *att.shape)
    _run(
        True,
        x_src,
        x_dst,
        att,
        edge_x,
        edge_index,
        num_self_loops,
        seed,
        slope=negative_slope,
        dropout=dropout,
        out=out,
        norm=norm,
        grad=grad.contiguous(),
        grad_x_src=grad_src,
        grad_x_dst=grad_dst,
        grad_edge_x=None if edge_x is None else grad_edge,
        grad_att=grad_att,
        scratch=norm.new_empty(edge_index.size(1) + num_self_loops, att.size(0)),
        mean=norm.new_empty(x_dst.shape[:2]),
    )
    return grad_src, grad_dst, grad_att.sum(dim=0), grad_edge


def _run(
    backward: bool,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_x: Tensor | None,
    edge_index: Tensor,
    num_self_loops: int,
    seed: Tensor | None,
    **arguments: Any,
) -> None:
    """Call the kernel in one direction."""
    csr = cached_csr(edge_index, num_self_loops, num_src=x_src.size(0), num_dst=x_dst.size(0))
    x_src, x_dst, att = _native.rows(x_src), _native.rows(x_dst), att.contiguous()
    edge_x = None if edge_x is None else edge_x.contiguous()
    filled = _native.arguments(
        _Arguments,
        graph=_native.graph(csr),
        heads=att.size(0),
        channels=att.size(1),
        threads=torch.get_num_threads(),
        seed=0 if seed is None else int(seed),
        x_src=x_src,
        x_dst=x_dst,
        att=att,
        edge_x=edge_x,
        x_src_stride=x_src.stride(0),
        x_dst_stride=x_dst.stride(0),
        **arguments,
    )
    _native.call("gatv2", filled, x_src.dtype, csr.col.dtype, backward)


@_forward.register_fake
def _(x_src: Tensor, x_dst: Tensor, att: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
    norm = att.new_empty(x_dst.size(0), 2, att.size(0))
    return x_dst.new_empty(x_dst.shape), norm


@_backward.register_fake
def _(
    grad: Tensor,
    out: Tensor,
    norm: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_x: Tensor | None,
    *_: object,
    **__: object,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = 0 if edge_x is None else edge_x.size(0)
    return (
        x_src.new_empty(x_src.shape),
        x_dst.new_empty(x_dst.shape),
        att.new_empty(att.shape),
        x_src.new_empty(rows, *att.shape),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x_src, x_dst, att, edge_x, edge_index, loops, slope, dropout, seed = inputs
    ctx.save_for_backward(*output, x_src, x_dst, att, edge_x, edge_index, seed)
    ctx.settings = (loops, slope, dropout)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    out, norm, x_src, x_dst, att, edge_x, edge_index, seed = ctx.saved_tensors
    grads = _backward(grad, out, norm, x_src, x_dst, att, edge_x, edge_index, *ctx.settings, seed)
    grad_edge = None if edge_x is None else grads[3]
    return *grads[:3], grad_edge, None, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_setup_context)
