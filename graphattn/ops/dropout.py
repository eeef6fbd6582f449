"""Dropout masks that are a function of a seed and a number, so that no mask need be stored."""

from __future__ import annotations

import torch
from torch import Tensor

from graphattn.ops.checks import check_draw

__all__ = ["draw_seed", "dropout_factor", "edge_dropout", "seed_of"]

_LOW = 0xFFFFFFFF


def draw_seed(device: torch.device) -> Tensor:
    """A seed from torch's global generator of the device. Shape ``[1]``, ``int64``."""
    return torch.randint(2**63 - 1, (1,), device=device)


def seed_of(dropout: float, seed: Tensor | None, device: torch.device) -> Tensor | None:
    """The seed of an op with dropout, drawn if none is given; ``None`` where nothing is dropped.

    Args:
        dropout: Probability, in ``[0, 1]``.
        seed: The user's. Shape ``[1]``, ``int64``.
        device: Device of the op.

    Raises:
        TypeError: If the seed is no tensor of ``int64``.
        ValueError: If the probability is outside of ``[0, 1]``, or the seed not of shape ``[1]``.
    """
    if seed is None and type(dropout) is float and dropout == 0.0:
        return None
    check_draw(dropout, seed)
    if dropout == 0.0:
        return None
    return draw_seed(device) if seed is None else seed


def dropout_factor(counter: Tensor, seed: Tensor, p: float) -> Tensor:
    """What to multiply number ``counter`` by: 0 with probability ``p``, else ``1 / (1 - p)``.

    Every implementation of an op computes the same; in C++ it is ``Dropout`` of ``common.hpp``.

    Args:
        counter: Numbers from 0, any shape, ``int64``.
        seed: Shape ``[1]``, ``int64``.
        p: Probability, in ``[0, 1]``.

    Returns:
        Factors in ``float32``, in the shape of ``counter``.
    """
    first = _mix(((counter & _LOW) + (seed & _LOW)) & _LOW)
    draw = _mix(first ^ (((counter >> 32) + ((seed >> 32) & _LOW)) & _LOW))
    threshold = _LOW if p >= 1.0 else int(p * 2.0**32)
    scale = 0.0 if p >= 1.0 else 1.0 / (1.0 - p)
    return (draw >= threshold).float() * scale


def edge_dropout(alpha: Tensor, position: Tensor, seed: Tensor, p: float) -> Tensor:
    """Drop coefficients of edges, numbered in rows by destination as kernels meet them.

    Args:
        alpha: Coefficients. Shape ``[E, H]``.
        position: Place of every edge in the rows, see :func:`looped`. Shape ``[E]``.
        seed: Shape ``[1]``, ``int64``.
        p: Probability, in ``[0, 1]``.

    Returns:
        Shape ``[E, H]``, in the dtype of ``alpha``.
    """
    heads = alpha.size(1)
    counter = position.unsqueeze(1) * heads + torch.arange(heads, device=position.device)
    return alpha * dropout_factor(counter, seed, p).to(alpha.dtype)


def _mix(x: Tensor) -> Tensor:
    """Mix the bits of 32-bit numbers (C. Wellons' "lowbias32"); products wrap as they must."""
    x = x ^ (x >> 16)
    x = (x * 0x21F0AAAD) & _LOW
    x = x ^ (x >> 15)
    x = (x * 0x735A2D97) & _LOW
    return x ^ (x >> 15)
