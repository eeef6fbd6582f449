"""Compile the Triton kernels for a GPU that need not be there, as their real calls would.

Run by a test in a process of its own, since kernels are compiled or interpreted from the import on.
The interpreter is Python and takes what the compiler refuses.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from graphattn.ops._attend import Call, gpu


class NoDevice:
    """What the compiler asks a driver."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_only(kernel: JITFunction, grid: Any) -> Any:
    def launch(**arguments: Any) -> None:
        compiled = kernel.run(grid=grid, warmup=True, **arguments)
        assert "atom" not in compiled.asm["ptx"], "sums must have a fixed order"
        print(kernel.__name__, "compiled")

    return launch


def call(kind: str, dtype: torch.dtype, *, heads: int, channels: int, optional: bool) -> Call:
    nodes, accumulator = 6, torch.promote_types(dtype, torch.float32)
    wide, narrow = (nodes, heads, channels), (nodes, heads)
    edges = torch.randint(nodes, (2, 30))
    scores = torch.randn(30, heads, dtype=accumulator)
    features = torch.randn(30, heads, channels, dtype=dtype)
    operands = {
        "gat": [(wide, dtype), (narrow, accumulator), (narrow, accumulator)],
        "gatv2": [(wide, dtype), (wide, dtype), (wide[1:], accumulator)],
        "dot": [(wide, dtype)] * 3,
    }.get(kind, [(wide, dtype)])
    takes_scores = kind in ("given", "spmm") or (optional and kind != "gatv2")
    return Call(
        "gpu",
        kind,
        num_dst=nodes,
        num_self_loops=0,
        setting=0.2,
        dropout=0.6 if optional and kind != "spmm" else 0.0,
        donated=False,
        edge_index=edges,
        seed=torch.tensor([3]) if optional and kind != "spmm" else None,
        edge_x=features if optional and kind in ("gatv2", "dot") else None,
        edge_score=scores if takes_scores else None,
        bias=torch.randn(nodes, heads, channels, dtype=accumulator) if optional else None,
        nodes=[torch.randn(shape, dtype=of) for shape, of in operands],
    )


def main() -> None:
    driver.set_active(NoDevice())
    JITFunction.__getitem__ = compile_only
    for kind in ("gat", "gatv2", "dot", "given", "spmm"):
        for dtype, heads, channels, optional, piece in (
            (torch.float32, 8, 8, False, 2048),
            (torch.bfloat16, 3, 5, True, 2),
        ):
            if kind in ("given", "spmm") and not optional:
                continue
            gpu.PIECE = piece
            given = call(kind, dtype, heads=heads, channels=channels, optional=optional)
            out, norm = gpu.forward(given)
            gpu.backward(given, out, norm, torch.zeros_like(out))


if __name__ == "__main__":
    sys.exit(main())
