"""The floor of every attention layer: gathering the rows that it has to gather."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from graphattn.bench.measuring import Contender, Missing
from graphattn.ops import _native, build_csr

__all__ = ["floor", "gather_sum"]


def gather_sum(ptr: Tensor, index: Tensor, x: Tensor) -> Tensor:
    """Sum of ``x`` over the entries of each row, in C++, on torch's number of threads.

    Args:
        ptr: First position of every row. Shape ``[N + 1]``, contiguous ``int32``.
        index: Row of ``x`` at each position. Shape ``[E]``, contiguous ``int32``.
        x: Shape ``[M, W]``, contiguous ``float32``; ``W`` a multiple of 16.

    Returns:
        The sums, shape ``[N, W]``.

    Raises:
        TypeError: If a type differs.
        ValueError: If a shape differs.
        RuntimeError: If there is no native library.
    """
    for name, tensor, dtype in (
        ("ptr", ptr, torch.int32),
        ("index", index, torch.int32),
        ("x", x, torch.float32),
    ):
        if tensor.dtype != dtype or not tensor.is_contiguous() or tensor.device.type != "cpu":
            raise TypeError(f"'{name}' must be contiguous {dtype} on the CPU, got {tensor.dtype}")
    if x.dim() != 2 or x.size(1) % 16:
        raise ValueError(f"'x' must have a multiple of 16 columns, got shape {list(x.shape)}")
    inside = index.numel() == 0 or (int(index.min()) >= 0 and int(index.max()) < len(x))
    if int(ptr[-1]) != index.numel() or not inside:
        raise ValueError("'ptr' and 'index' do not belong to each other and to 'x'")
    out = x.new_empty(len(ptr) - 1, x.size(1))
    _run(ptr, index, x, out)
    return out


def floor(edge_index: Tensor, num_nodes: int, width: int) -> Contender | Missing:
    """Bare gather-sums over the rows of a graph (forward) and of its transpose (backward).

    Args:
        edge_index: Edges. Shape ``[2, E]``.
        num_nodes: Number of nodes.
        width: Columns of the rows that are gathered.
    """
    name = "bare gather-sum (the floor)"
    if (reason := _native.why_missing()) is not None:
        return Missing(name, f"native library {reason}")
    csr = build_csr(edge_index.int(), num_src=num_nodes, num_dst=num_nodes)
    x = torch.randn(num_nodes, width)
    gather_sum(csr.rowptr, csr.col, x)  # checks the arguments; the steps need not

    def forward() -> Tensor:
        out = torch.empty_like(x)
        _run(csr.rowptr, csr.col, x, out)
        return out

    def backward(out: Tensor) -> Tensor:
        grad = torch.empty_like(x)
        _run(csr.tptr, csr.trow, out, grad)
        return grad

    return Contender(name, "floor", forward, backward)


def _run(ptr: Tensor, index: Tensor, x: Tensor, out: Tensor) -> None:
    pointers = _native.pointers([ptr, index, x, out])
    sizes = [ctypes.c_int64(n) for n in (len(ptr) - 1, x.size(1), torch.get_num_threads())]
    _native.kernel("floor")(*pointers[:2], *sizes[:2], *pointers[2:], sizes[2])
