"""Native CPU form of :func:`graphattn.ops.gat_attend`, over ``_native/gat.cpp``."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._csr import cached_csr

__all__ = ["gat_attend"]


def gat_attend(
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_index: Tensor,
    edge_score: Tensor | None,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
) -> Tensor:
    """See :func:`graphattn.ops.gat_attend`."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    channels = x.size(-1)
    out, _ = _forward(
        _native.pad_channels(x),
        score_src.to(dtype),
        score_dst.to(dtype),
        None if edge_score is None else edge_score.to(dtype),
        edge_index,
        num_self_loops,
        negative_slope,
        dropout,
        seed,
    )
    result: Tensor = out[..., :channels]
    return result


class _Arguments(ctypes.Structure):
    """``GraphattnGat`` of ``gat.cpp``."""

    _fields_: ClassVar = [
        ("graph", _native.Graph),
        *((name, ctypes.c_int64) for name in ("heads", "channels", "threads")),
        *((name, ctypes.c_double) for name in ("slope", "dropout")),
        ("seed", ctypes.c_uint64),
        *((name, ctypes.c_void_p) for name in ("x", "score_src", "score_dst", "edge_score")),
        *((f"{name}_stride", ctypes.c_int64) for name in ("x", "score_src", "score_dst")),
        *((name, ctypes.c_void_p) for name in ("out", "norm", "grad")),
        *((f"grad_{name}", ctypes.c_void_p) for name in ("x", "score_src", "score_dst")),
        ("grad_edge_score", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("scratch", "record")),
    ]


@torch.library.custom_op("graphattn::gat_attend", mutates_args=(), device_types="cpu")
def _forward(
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_score: Tensor | None,
    edge_index: Tensor,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Sums and, per node, shift and inverse sum of the softmax of each head."""
    out = x.new_empty(score_dst.size(0), *x.shape[1:])
    norm = score_dst.new_empty(score_dst.size(0), 2, score_dst.size(1))
    _run(
        False,
        x,
        score_src,
        score_dst,
        edge_score,
        edge_index,
        num_self_loops,
        seed,
        slope=negative_slope,
        dropout=dropout,
        out=out,
        norm=norm,
    )
    return out, norm


@torch.library.custom_op("graphattn::gat_attend_backward", mutates_args=(), device_types="cpu")
def _backward(
    grad: Tensor,
    out: Tensor,
    norm: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_score: Tensor | None,
    edge_index: Tensor,
    num_self_loops: int,
    negative_slope: float,
    dropout: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x``, ``score_src``, ``score_dst`` and ``edge_score`` (or nothing)."""
    heads = score_src.size(1)
    grad_x, grad_src = x.new_empty(x.shape), score_src.new_empty(score_src.shape)
    grad_dst = score_dst.new_empty(score_dst.shape)
    # Self-loops that do not count stay zero.
    grad_edge = score_dst.new_zeros(0 if edge_score is None else edge_score.size(0), heads)
    _run(
        True,
        x,
        score_src,
        score_dst,
        edge_score,
        edge_index,
        num_self_loops,
        seed,
        slope=negative_slope,
        dropout=dropout,
        out=out,
        norm=norm,
        grad=grad.contiguous(),
        grad_x=grad_x,
        grad_score_src=grad_src,
        grad_score_dst=grad_dst,
        grad_edge_score=None if edge_score is None else grad_edge,
        scratch=score_dst.new_empty(edge_index.size(1) + num_self_loops, heads),
        record=score_dst.new_empty(score_dst.size(0), 4 * heads),
    )
    return grad_x, grad_src, grad_dst, grad_edge


def _run(
    backward: bool,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_score: Tensor | None,
    edge_index: Tensor,
    num_self_loops: int,
    seed: Tensor | None,
    **arguments: Any,
) -> None:
    """Call the kernel in one direction."""
    csr = cached_csr(
        edge_index, num_self_loops, num_src=score_src.size(0), num_dst=score_dst.size(0)
    )
    x, score_src, score_dst = (_native.rows(t) for t in (x, score_src, score_dst))
    edge_score = None if edge_score is None else edge_score.contiguous()
    filled = _native.arguments(
        _Arguments,
        graph=_native.graph(csr),
        heads=x.size(1),
        channels=x.size(2),
        threads=torch.get_num_threads(),
        seed=0 if seed is None else int(seed),
        x=x,
        score_src=score_src,
        score_dst=score_dst,
        edge_score=edge_score,
        x_stride=x.stride(0),
        score_src_stride=score_src.stride(0),
        score_dst_stride=score_dst.stride(0),
        **arguments,
    )
    _native.call("gat", filled, x.dtype, csr.col.dtype, backward)


@_forward.register_fake
def _(
    x: Tensor, score_src: Tensor, score_dst: Tensor, *_: object, **__: object
) -> tuple[Tensor, Tensor]:
    return (
        x.new_empty(score_dst.size(0), *x.shape[1:]),
        score_dst.new_empty(score_dst.size(0), 2, score_dst.size(1)),
    )


@_backward.register_fake
def _(
    grad: Tensor,
    out: Tensor,
    norm: Tensor,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    edge_score: Tensor | None,
    *_: object,
    **__: object,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = 0 if edge_score is None else edge_score.size(0)
    return (
        x.new_empty(x.shape),
        score_src.new_empty(score_src.shape),
        score_dst.new_empty(score_dst.shape),
        score_dst.new_empty(rows, score_dst.size(1)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, score_src, score_dst, edge_score, edge_index, loops, slope, dropout, seed = inputs
    ctx.save_for_backward(*output, x, score_src, score_dst, edge_score, edge_index, seed)
    ctx.settings = (loops, slope, dropout)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    out, norm, x, score_src, score_dst, edge_score, edge_index, seed = ctx.saved_tensors
    grads = _backward(
        grad, out, norm, x, score_src, score_dst, edge_score, edge_index, *ctx.settings, seed
    )
    grad_edge = None if edge_score is None else grads[3]
    return *grads[:3], grad_edge, None, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_setup_context)
