"""The kernels on a CUDA device: against PyG on a graph of middle size, and alone on a large one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphattn.bench.case import Goal, Kinds, Lineup, Settings
from graphattn.bench.layers import LayerInputs, LayerKind, lineup_on
from graphattn.bench.measuring import Contender
from graphattn.bench.memory import Usage
from graphattn.ops import GATScore, attend

__all__ = ["PRODUCTS", "RandomGraph", "cold_bytes", "cold_rate", "layer_lineup", "op_lineup"]

_HEADS = _CHANNELS = 8


@dataclass(frozen=True)
class RandomGraph:
    """Edges between nodes drawn uniformly, so that no cache helps."""

    num_nodes: int
    """Number of nodes."""
    num_edges: int
    """Number of directed edges."""

    def edge_index(self, share: float) -> Tensor:
        """The edges, drawn on the device, sorted by destination. Shape ``[2, E]``, ``int32``.

        Args:
            share: Share of nodes and edges.
        """
        generator = torch.Generator("cuda").manual_seed(0)
        size = (2, round(self.num_edges * share))
        drawn = torch.randint(
            self.nodes(share), size, generator=generator, dtype=torch.int32, device="cuda"
        )
        return torch.stack([drawn[0], drawn[1].sort().values])

    def nodes(self, share: float) -> int:
        """How many nodes a share of the graph has.

        Args:
            share: Share of nodes and edges.
        """
        return round(self.num_nodes * share)

    def __str__(self) -> str:
        return f"random graph, {self.num_nodes:,} nodes, {self.num_edges:,} edges"


PRODUCTS = RandomGraph(2_449_029, 123_718_280)
"""As many nodes and edges as ogbn-products, both directions counted."""


def cold_bytes(num_nodes: int, num_edges: int, heads: int, channels: int, itemsize: int) -> int:
    """Bytes that forward and backward of GAT attention move if no row is ever found in a cache.

    Args:
        num_nodes: Number of nodes.
        num_edges: Number of edges.
        heads: Heads ``H``.
        channels: Channels ``C`` of a head.
        itemsize: Bytes of a feature.
    """
    row = heads * channels * itemsize
    forward = num_edges * (row + 4 * heads + 4) + num_nodes * (row + 8 * heads + 4)
    # Of these 8 H per edge for gradients of scores, which are written and read once.
    backward = num_edges * (row + 20 * heads + 8) + num_nodes * (4 * row + 24 * heads)
    return forward + backward


def cold_rate(kind: str, dtype: torch.dtype) -> Goal:
    """How fast these bytes would have been moved, to compare with the memory's bandwidth.

    Args:
        kind: Kind of the row.
        dtype: Type of the features.
    """
    total = cold_bytes(PRODUCTS.num_nodes, PRODUCTS.num_edges, _HEADS, _CHANNELS, dtype.itemsize)

    def rate(rows: Kinds) -> float | None:
        speed = rows[kind].million_edges_per_s if kind in rows else None
        return None if speed is None else speed * 1e6 * total / PRODUCTS.num_edges / 1e9

    return Goal(f"GB/s without any cache, {dtype}", None, None, rate)


def layer_lineup(kind: LayerKind, inputs: LayerInputs, settings: Settings) -> Lineup:
    """Our layer against PyG's, eager and compiled.

    Args:
        kind: The layer.
        inputs: What it is given.
        settings: Wishes of the user.

    Raises:
        NotImplementedError: If there is no CUDA device.
    """
    _need_device()
    found = lineup_on("cuda", kind, inputs, settings)
    contenders = [_on_device(contender) for contender in found.contenders]
    return replace(found, contenders=contenders, note=_device_note(found.note))


def op_lineup(settings: Settings) -> Lineup:
    """``attend`` with GAT scores alone, in two types, on a graph that peers have no memory for.

    Args:
        settings: Wishes of the user.

    Raises:
        NotImplementedError: If there is no CUDA device.
    """
    _need_device()
    edges, nodes = PRODUCTS.edge_index(settings.scale), PRODUCTS.nodes(settings.scale)
    contenders = [
        _on_device(_op(kind, edges, nodes, dtype))
        for kind, dtype in (("ours", torch.float32), ("ours bf16", torch.bfloat16))
    ]
    return Lineup(contenders, note=_device_note("indices int32"))


def _op(kind: str, edges: Tensor, num_nodes: int, dtype: torch.dtype) -> Contender:
    shape = (num_nodes, _HEADS, _CHANNELS)
    x = torch.randn(shape, dtype=dtype, device="cuda", requires_grad=True)
    u, w = (torch.randn(shape[:2], device="cuda", requires_grad=True) for _ in range(2))
    grad = torch.randn_like(x)

    def release() -> None:
        for leaf in (x, u, w):
            leaf.grad = None

    return Contender(
        f"graphattn, attend with GAT scores, {dtype}",
        kind,
        lambda: attend(x, GATScore(u, w), edges),
        lambda out: torch.autograd.backward(out, grad),
        release,
        edges=edges.size(1),
    )


def _on_device(contender: Contender) -> Contender:
    """The same, but each part ends when the device is done."""
    forward, backward = contender.forward, contender.backward

    def run(part: Callable[..., Any], *arguments: Any) -> Any:
        result = part(*arguments)
        torch.cuda.synchronize()
        return result

    def memory() -> Usage:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        out = forward()
        held = torch.cuda.memory_allocated() - before
        if backward is not None:
            backward(out)
        torch.cuda.synchronize()
        return Usage((torch.cuda.max_memory_allocated() - before) / 1e6, held / 1e6)

    return replace(
        contender,
        forward=partial(run, forward),
        backward=None if backward is None else partial(run, backward),
        memory=memory,
    )


def _need_device() -> None:
    if not torch.cuda.is_available():
        raise NotImplementedError("not measured: no CUDA device")


def _device_note(note: str) -> str:
    return f"{torch.cuda.get_device_name()}, {note}"
