"""Native CPU form of :func:`graphattn.ops.edge_softmax`, over ``_native/given.cpp``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._attend.cpu import Arguments
from graphattn.ops._csr import cached_csr

__all__ = ["edge_softmax"]


def edge_softmax(score: Tensor, index: Tensor, num_nodes: int) -> Tensor:
    """See :func:`graphattn.ops.edge_softmax`."""
    wide = score.to(torch.promote_types(score.dtype, torch.float32))
    alpha: Tensor = _Softmax.apply(wide, index, num_nodes)  # type: ignore[no-untyped-call]
    return alpha.to(score.dtype)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, score: Tensor, index: Tensor, num_nodes: int) -> Tensor:
        ctx.num_nodes = num_nodes
        alpha = _native.empty(score.shape, score.dtype)
        _run(False, index, num_nodes, edge_score=score.contiguous(), out=alpha)
        ctx.save_for_backward(alpha, index)
        return alpha

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        alpha, index = ctx.saved_tensors
        out = _native.empty(alpha.shape, alpha.dtype)
        _run(
            True,
            index,
            ctx.num_nodes,
            edge_score=alpha,
            grad=grad.contiguous(),
            grad_edge_score=out,
        )
        return out, None, None


def _run(backward: bool, index: Tensor, num_nodes: int, **tensors: Tensor) -> None:
    csr = cached_csr(index, 0, num_src=num_nodes, num_dst=num_nodes)
    score = tensors["edge_score"]
    filled = _native.arguments(
        Arguments,
        graph=_native.graph(csr),
        heads=score.size(1),
        threads=torch.get_num_threads(),
        **tensors,
    )
    _native.call("edge_softmax", filled, score.dtype, csr.col.dtype, backward)
