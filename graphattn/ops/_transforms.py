"""Whether torch looks into an op, so that only one made of torch's own ops can serve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.utils import _python_dispatch

__all__ = ["gradients_by_definition", "is_transformed", "refuse_tracing", "takes_kernels"]

_PLAIN = frozenset((Tensor, Parameter))


def takes_kernels(tensors: Iterable[Tensor | None]) -> bool:
    """Whether kernels that read memory may run on tensors, here and now.

    Args:
        tensors: The tensors, of which ``None`` counts for nothing.
    """
    there = [one for one in tensors if one is not None]
    return (
        _PLAIN.issuperset(map(type, there))
        # Of what `is_grads_batched` makes, only the C++ type tells.
        and not any(map(torch._C._functorch.is_legacy_batchedtensor, there))
        and not is_transformed()
    )


def is_transformed() -> bool:
    """Whether an op runs under ``torch.func``, in forward-mode AD, or where a mode looks at ops."""
    return (
        torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or _python_dispatch._get_current_dispatch_mode() is not None
    )


def refuse_tracing() -> None:
    """Raise where ``torch.jit.trace``, or the ONNX export on top of it, records an op.

    Raises:
        RuntimeError: Names the way out.
    """
    if torch._C._get_tracing_state() is not None:
        raise RuntimeError(
            "ops of graphattn can't be recorded by torch.jit.trace, nor by the ONNX exporter on "
            "top of it: the order of the edges would become part of the record. Use "
            "torch.compile or torch.export (for ONNX, torch.onnx.export with dynamo=True)"
        )


def gradients_by_definition(
    definition: Callable[[Sequence[Tensor]], Sequence[Tensor | None]],
    inputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of what torch's own ops compute, themselves differentiable where autograd asks.

    Args:
        definition: Computes the outputs from the inputs.
        inputs: The inputs of a node.
        grads: Gradients of its outputs.
        needed: Which inputs need one.

    Returns:
        Gradients of the inputs.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, so that what the inputs were made of is left to others.
        inputs = [
            one.view_as(one) if need else one for one, need in zip(inputs, needed, strict=True)
        ]
        pairs = [
            (out, grad)
            for out, grad in zip(definition(inputs), grads, strict=True)
            if out is not None and grad is not None and out.requires_grad
        ]
        wanted = [one for one, need in zip(inputs, needed, strict=True) if need]
        found = iter(
            torch.autograd.grad(
                [out for out, _ in pairs],
                wanted,
                [grad for _, grad in pairs],
                create_graph=differentiable,
                allow_unused=True,
            )
            if pairs
            else [None] * len(wanted)
        )
    return [next(found) if need else None for need in needed]
