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

from graphattn.ops import (
    DotScore,
    GATScore,
    GATv2Score,
    GivenScore,
    attend,
    attention_weights,
    spmm,
)
from graphattn.ops._dispatch import Choice
from graphattn.ops.attend import gpu, request


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


def solve(kind: str, dtype: torch.dtype, *, heads: int, channels: int, optional: bool) -> None:
    """Forward and backward of one op: of sums, of both, or of coefficients alone."""
    nodes, accumulator = 6, torch.promote_types(dtype, torch.float32)
    edges = torch.randint(nodes, (2, 30))

    def wide(rows: int = nodes, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.randn(rows, heads, channels, dtype=dtype, requires_grad=True)

    def narrow(rows: int = nodes) -> torch.Tensor:
        return torch.randn(rows, heads, dtype=accumulator, requires_grad=True)

    if kind == "spmm":
        spmm(wide(), narrow(30), edges, num_dst=nodes).sum().backward()
        return
    src, edge, edge_x = wide(), None, None
    if optional:
        edge, edge_x = narrow(30), wide(30)
    score = {
        "gat": lambda: GATScore(narrow(), narrow(), edge),
        "gatv2": lambda: GATv2Score(src, wide(), wide(1)[0], edge_x),
        "dot": lambda: DotScore(wide(), wide(), edge_x, edge),
        "given": lambda: GivenScore(narrow(30)),
    }[kind]()
    options = {"num_dst": nodes}
    if optional:
        options |= {"dropout": 0.6, "seed": torch.tensor([3]), "bias": wide(dtype=accumulator)}
    attend(src, score, edges, **options).sum().backward()
    if optional:
        attention_weights(score, edges, num_dst=nodes).sum().backward()
    else:
        out, alpha = attend(src, score, edges, return_weights=True, **options)
        (out.sum() + alpha.sum()).backward()


def main() -> None:
    driver.set_active(NoDevice())
    JITFunction.__getitem__ = compile_only
    request.choose = lambda op, device: Choice(op, device, "gpu", "to be compiled")
    for kind in ("gat", "gatv2", "dot", "given", "spmm"):
        for dtype, heads, channels, optional, piece in (
            (torch.float32, 8, 8, False, 2048),
            (torch.bfloat16, 3, 5, True, 2),
        ):
            # Optional operands take more of a kernel than their absence: once without is enough.
            if kind != "gat" and not optional:
                continue
            gpu.PIECE = piece
            solve(kind, dtype, heads=heads, channels=channels, optional=optional)


if __name__ == "__main__":
    sys.exit(main())
