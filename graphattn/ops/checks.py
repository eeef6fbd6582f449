"""Checks that every op on an edge list makes before it reads memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphattn.ops._transforms import is_transformed, refuse_tracing
from graphattn.ops.kept import kept

__all__ = [
    "check_bias",
    "check_count",
    "check_csr",
    "check_draw",
    "check_edge_index",
    "check_nodes",
    "check_range",
    "check_self_loops",
    "check_shape",
    "check_slope",
    "check_tensor",
    "check_values",
    "plain",
]

_INDEX_DTYPES = (torch.int32, torch.int64)


def plain(tensor: Tensor, name: str) -> Tensor:
    """The tensor that a class around one stands for, signs and all; others as they are.

    PyG's ``Index`` and ``EdgeIndex`` have no memory of their own, and torch negates and conjugates
    by a mark that kernels would not see.

    Raises:
        RuntimeError: Under ``torch.jit.trace``.
        TypeError: If it is no dense tensor.
    """
    if torch._C._get_tracing_state() is not None:
        refuse_tracing()
    if type(tensor) is not Tensor:
        _check_dense(tensor, name)
        tensor = getattr(tensor, "as_tensor", lambda: tensor)()
    elif tensor.layout != torch.strided:
        _check_dense(tensor, name)
    if not torch.compiler.is_compiling() and (tensor.is_neg() or tensor.is_conj()):
        return tensor.resolve_neg().resolve_conj()
    return tensor


def check_edge_index(edge_index: Tensor) -> Tensor:
    """Check the form of an edge list.

    Returns:
        The edges as a :func:`plain` tensor.

    Raises:
        TypeError: If ``edge_index`` does not hold ``int32`` or ``int64``.
        ValueError: If its shape is not ``[2, E]``.
    """
    edge_index = plain(edge_index, "edge_index")
    if edge_index.dtype not in _INDEX_DTYPES:
        raise TypeError(f"'edge_index' must be int32 or int64, got {edge_index.dtype}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"'edge_index' must have shape [2, E], got {list(edge_index.shape)}")
    return edge_index


def check_nodes(edge_index: Tensor, *, num_src: int, num_dst: int) -> None:
    """Check on the CPU that every index of an edge list is a node.

    Indices on a GPU are not read: that would wait for the device at every call.

    Raises:
        ValueError: If an index is negative or too large.
    """
    if _is_readable(edge_index):
        # A graph is read once, not in every step.
        src, dst = kept(edge_index, "bounds", lambda: [_bounds(index) for index in edge_index])
        _check_bounds(src, "edge_index[0]", num_src)
        _check_bounds(dst, "edge_index[1]", num_dst)


def check_range(index: Tensor, name: str, count: int) -> None:
    """Check on the CPU, outside of compiled code, that ``0 <= index < count``.

    Raises:
        ValueError: If an index is outside.
    """
    if _is_readable(index):
        _check_bounds(_bounds(index), name, count)


def _is_readable(index: Tensor) -> bool:
    """Whether there are indices that can be read here and now."""
    return (
        not torch.compiler.is_compiling()
        and type(index) is Tensor
        and index.device.type == "cpu"
        and index.numel() > 0
        and not is_transformed()
    )


def _bounds(index: Tensor) -> tuple[int, int]:
    low, high = torch.aminmax(index)
    return int(low), int(high)


def _check_bounds(bounds: tuple[int, int], name: str, count: int) -> None:
    low, high = bounds
    if low < 0 or high >= count:
        bad = low if low < 0 else high
        raise ValueError(f"'{name}' must lie in [0, {count}), one entry per node; got {bad}")


def check_bias(bias: Tensor | None, num_dst: int, row: Sequence[int]) -> None:
    """Check the shape of what is added to every sum.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If it has neither the shape of a row nor that of a row for each destination.
    """
    if bias is not None:
        one = not isinstance(bias, Tensor) or bias.dim() < 3
        check_shape(bias, "bias", tuple(row) if one else (num_dst, *row))


def check_count(count: int, name: str) -> None:
    """Check a number of nodes.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is negative.
    """
    if not isinstance(count, (int, torch.SymInt)) or isinstance(count, bool):
        raise TypeError(f"'{name}' must be a whole number, got {count!r}")
    if count < 0:
        raise ValueError(f"'{name}' must not be negative, got {count}")


def check_csr(x: Tensor, name: str) -> None:
    """Check once per matrix that the pattern of a ``torch.sparse_csr`` or CSC matrix is one.

    torch makes such matrices without looking, and its products read whatever memory that points to.

    Raises:
        ValueError: If pointers do not rise from 0 to the number of entries, or an index is outside.
    """
    by_row = x.layout == torch.sparse_csr
    index = x.col_indices() if by_row else x.row_indices()
    if torch.compiler.is_compiling() or is_transformed() or index.device.type != "cpu":
        return
    kept(index, "pattern", lambda: _check_pattern(x, name, index), owner=x)


def _check_pattern(x: Tensor, name: str, index: Tensor) -> None:
    by_row = x.layout == torch.sparse_csr
    ptr = x.crow_indices() if by_row else x.ccol_indices()
    rows, columns = x.shape[:2] if by_row else x.shape[1::-1]
    rises = len(ptr) == rows + 1 and ptr[0] == 0 and bool((ptr.diff() >= 0).all())
    if not rises or ptr[-1] != len(index):
        raise ValueError(
            f"'{name}' is an invalid {x.layout} matrix: its {rows + 1} pointers must rise from 0 "
            f"to {len(index)}, the number of its entries"
        )
    check_range(index, f"{name}.{'col' if by_row else 'row'}_indices()", columns)


def check_draw(dropout: float, seed: Tensor | None) -> None:
    """Check the probability and the seed of a dropout.

    Raises:
        TypeError: If the seed is no tensor of ``int64``.
        ValueError: If the probability is outside of ``[0, 1]``, or the seed not of shape ``[1]``.
    """
    if not isinstance(dropout, (int, float)):
        raise TypeError(f"'dropout' must be a number, got {dropout!r}")
    if not 0.0 <= dropout <= 1.0:
        raise ValueError(f"'dropout' must lie in [0, 1], got {dropout}")
    if seed is None:
        return
    if not isinstance(seed, Tensor) or seed.dtype != torch.int64:
        raise TypeError(f"'seed' must be an int64 tensor, got {seed!r}")
    check_shape(seed, "seed", (1,))


def check_slope(slope: float, name: str) -> None:
    """Check a factor that kernels take as a number of their own type.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not finite in ``float32``.
    """
    if not isinstance(slope, (int, float)) or isinstance(slope, bool):
        raise TypeError(f"'{name}' must be a number, got {slope!r}")
    if not abs(slope) <= torch.finfo(torch.float32).max:
        raise ValueError(f"'{name}' must be finite in float32, got {slope}")


def check_self_loops(num_self_loops: int, num_nodes: int) -> None:
    """Check how many nodes shall have a self-loop.

    Raises:
        ValueError: If there are fewer nodes that are source and destination.
    """
    if not isinstance(num_self_loops, (int, torch.SymInt)):
        raise TypeError(f"'num_self_loops' must be a whole number, got {num_self_loops!r}")
    if not 0 <= num_self_loops <= num_nodes:
        raise ValueError(
            f"'num_self_loops' must lie in [0, {num_nodes}], the nodes that are source and "
            f"destination; got {num_self_loops}"
        )


def check_shape(tensor: Tensor, name: str, shape: tuple[int | None, ...]) -> None:
    """Check a shape; ``None`` stands for any size.

    Raises:
        ValueError: If it differs.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"'{name}' must be a tensor, got {type(tensor).__name__}")
    got = tensor.shape
    if got == shape:
        return
    fits = len(got) == len(shape) and all(
        want is None or one == want for one, want in zip(got, shape, strict=True)
    )
    if not fits:
        words = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"'{name}' must have shape [{words}], got {list(tensor.shape)}")


def check_tensor(tensor: object, name: str) -> None:
    """Check that something is a tensor, of any kind.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"'{name}' must be a tensor, got {type(tensor).__name__}")


def check_values(edge_index: Tensor, **values: Any) -> None:
    """Check that all values are floating point, and on one device together with the edges.

    Args:
        edge_index: The edges, dense.
        **values: Values by name; the first is there.

    Raises:
        TypeError: If one holds no floating point numbers.
        ValueError: If one is on another device.
    """
    first = next(iter(values))
    device = edge_index.device
    for name, tensor in values.items():
        if tensor is None and name != first:
            continue
        if type(tensor) is not Tensor or tensor.layout != torch.strided:
            _check_dense(tensor, name)
        if not tensor.is_floating_point():
            raise TypeError(f"'{name}' must be floating point, got {tensor.dtype}")
        if name == first:
            device = tensor.device
        elif tensor.device != device:
            raise ValueError(f"'{name}' must be on {device} as '{first}', got {tensor.device}")
    if edge_index.device != device:
        raise ValueError(f"'edge_index' must be on {device} as '{first}', got {edge_index.device}")


def _check_dense(tensor: object, name: str) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"'{name}' must be a tensor, got {type(tensor).__name__}")
    if tensor.layout != torch.strided:
        raise TypeError(f"'{name}' must be dense, got layout {tensor.layout}")
