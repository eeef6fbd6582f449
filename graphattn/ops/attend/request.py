"""What is asked of a fused op, and which implementation answers."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphattn.ops import _native
from graphattn.ops._dispatch import choose
from graphattn.ops._transforms import takes_kernels
from graphattn.ops.attend import compiled, reference
from graphattn.ops.attend.given_score import GivenScore, GivenWeight
from graphattn.ops.attend.node import Call, Operand, fused
from graphattn.ops.attend.projection import Projection
from graphattn.ops.attend.score import Score
from graphattn.ops.checks import (
    check_bias,
    check_count,
    check_nodes,
    check_range,
    check_self_loops,
    check_shape,
    check_slope,
    check_values,
)
from graphattn.ops.dropout import edge_dropout
from graphattn.ops.self_loops import looped

__all__ = ["Request", "check"]


@dataclass(eq=False)
class Request:
    """Sums, coefficients or both, of operands that have been checked."""

    op: str
    """Whose implementation is taken, see :func:`graphattn.ops.use_implementation`."""
    score: Score
    """The score."""
    edge_index: Tensor
    """Shape ``[2, E]``; or ``[E]`` where only destinations matter."""
    num_src: int
    """Number of sources."""
    num_dst: int
    """Number of destinations."""
    values: Operand = None
    """What is summed; ``None`` where only coefficients are asked for."""
    num_self_loops: int = 0
    """See :func:`graphattn.ops.attend`, as the others below."""
    dropout: float = 0.0
    seed: Tensor | None = None
    bias: Operand = None
    flipped: bool = False
    wants_alpha: bool = False

    def run(self) -> tuple[Tensor | None, Tensor | None]:
        """Sums ``[N_dst, H, C]`` and coefficients ``[E + num_self_loops, H]``, where asked for."""
        implementation = choose(self.op, self.edge_index.device.type).implementation
        if implementation in ("cpu", "gpu"):
            if not torch.compiler.is_compiling():
                if takes_kernels(self._tensors()):
                    return self._by_kernel(implementation)
            elif not torch.compiler.is_exporting():
                return self._computed()._by_kernel(implementation)
        return self._computed()._by_definition()

    def sums(self) -> Tensor:
        """The sums, of a request for them."""
        out, _ = self.run()
        if out is None:
            raise TypeError("sums are asked for, but there are no values")
        return out

    def coefficients(self) -> Tensor:
        """The coefficients, of a request for them."""
        _, alpha = self.run()
        if alpha is None:
            raise TypeError("coefficients are asked for, but 'wants_alpha' is False")
        return alpha

    def edges(self) -> Tensor:
        """Sources, then destinations. Shape ``[2, E]``."""
        if self.edge_index.dim() == 1:
            return self.edge_index.expand(2, -1)
        return self.edge_index.flip(0) if self.flipped else self.edge_index

    def _check_nodes(self) -> None:
        if self.edge_index.dim() == 1:
            check_range(self.edge_index, "index", self.num_dst)
        elif self.flipped:
            check_nodes(self.edge_index, num_src=self.num_dst, num_dst=self.num_src)
        else:
            check_nodes(self.edge_index, num_src=self.num_src, num_dst=self.num_dst)

    def _tensors(self) -> list[Tensor | None]:
        """All tensors."""
        found: list[Tensor | None] = [self.edge_index, self.seed]
        for operand in (self.values, self.bias, *self.score.operands().values()):
            if isinstance(operand, Projection):
                found += (operand.x, operand.weight, operand.bias, operand.att)
            else:
                found.append(operand)
        return found

    def _computed(self) -> Request:
        """The same with its projections computed."""
        operands = self.score.operands()
        if not any(isinstance(one, Projection) for one in (self.values, *operands.values())):
            return self
        return replace(
            self,
            values=_compute(self.values),
            bias=_compute(self.bias),
            score=self.score.replace(**{name: _compute(one) for name, one in operands.items()}),
        )

    def _by_definition(self) -> tuple[Tensor | None, Tensor | None]:
        edges, kernel = self.edges(), self.score.kernel
        self._check_nodes()
        out, alpha = reference.attend(
            _tensor(self.values),
            self.score,
            edges,
            self.num_dst,
            self.num_self_loops,
            self.dropout,
            self.seed,
            _tensor(self.bias),
            softmax=kernel is None or kernel.softmax,
        )
        return out, alpha if self.wants_alpha else None

    def _by_kernel(self, implementation: str) -> tuple[Tensor | None, Tensor | None]:
        score, kernel = self.score, self.score.kernel
        if kernel is None:
            self._check_nodes()
            edges = looped(self.edges(), self.num_self_loops).edge_index
            request = self._computed()
            score = GivenScore(reference.scores_of_edges(request.score, edges))
            return replace(request, score=score)._by_kernel(implementation)
        values = self.values
        if kernel.values is not None:
            own = getattr(score, kernel.values)
            if values is None:
                values = own
            elif values is not own:
                return self._in_two_passes()
        elif kernel.same_channels and values is not None:
            channels = getattr(score, kernel.nodes[0]).shape[2]
            if values.shape[2] != channels:
                return self._in_two_passes()
        nodes = [getattr(score, name) for name in kernel.nodes]
        if values is None and kernel.same_channels:
            # Not read, but of the shape that the kernel knows.
            values = nodes[0]
        edge_x: Any = None if kernel.edge_x is None else getattr(score, kernel.edge_x)
        edge_score: Any = None if kernel.edge_score is None else getattr(score, kernel.edge_score)
        operands = [values, *nodes, None, None][:3]
        operands += (edge_x, edge_score, self.bias)
        first = values if values is not None else [*nodes, edge_score][0]
        channels = 1 if values is None else values.shape[2]
        heads, width = first.shape[1], channels
        if heads == 0 or channels == 0:
            return self._computed()._by_definition()
        if implementation == "cpu" and _native.wants_padding(channels):
            width += -channels % _native.LANES
        call = Call(
            type(score),
            kernel,
            0.0 if kernel.setting is None else float(getattr(score, kernel.setting)),
            implementation,
            self.edge_index,
            self.flipped,
            self.num_src,
            self.num_dst,
            self.num_self_loops,
            heads,
            channels,
            width,
            self.dropout,
            self.seed,
            torch.promote_types(first.dtype, torch.float32),
            first.dtype,
            self.values is not None,
            self.wants_alpha,
        )
        if torch.compiler.is_compiling():
            return compiled.fused(call, [_tensor(one) for one in operands])
        if implementation == "gpu":
            operands = [_compute(one) for one in operands]
        return fused(call, operands)

    def _in_two_passes(self) -> tuple[Tensor | None, Tensor | None]:
        """Coefficients first, then the sums, where no kernel takes these values with this score."""
        request = self._computed()
        alone = replace(request, values=None, bias=None, wants_alpha=True, dropout=0.0, seed=None)
        alpha = weight = alone.run()[1]
        values = request.values
        if not isinstance(values, Tensor) or alpha is None or weight is None:
            raise TypeError("two passes are for values that there are")
        edges, _, position = looped(self.edges(), self.num_self_loops)
        if self.seed is not None:
            weight = edge_dropout(alpha, position, self.seed, self.dropout)
        name, num_src = self.score.value_edge_x, self.num_src
        edge_x = None if name is None else getattr(request.score, name)
        if edge_x is not None:
            values = values.index_select(0, edges[0]) + edge_x
            num_src = edges.size(1)
            edges = torch.stack([torch.arange(num_src, device=edges.device).to(edges), edges[1]])
        weights = GivenWeight(weight)
        sums = Request("spmm", weights, edges, num_src, self.num_dst, values, bias=request.bias)
        return sums.run()[0], alpha if self.wants_alpha else None


def _compute(operand: Operand) -> Tensor | None:
    return operand.compute() if isinstance(operand, Projection) else operand


def _tensor(operand: Operand) -> Tensor | None:
    if isinstance(operand, Projection):
        raise TypeError("a projection that should have been computed")
    return operand


def check(
    values: Operand,
    score: Score,
    edge_index: Tensor,
    num_dst: int | None,
    num_self_loops: int,
    bias: Operand,
) -> tuple[int, int]:
    """Check operands before any memory is read; projections are taken as they are.

    Returns:
        Number of sources and of destinations.

    Raises:
        TypeError: If an operand is no dense tensor of floating point numbers.
        ValueError: If one is on another device or its shape does not fit.
    """
    if not isinstance(score, Score):
        raise TypeError(f"'score' must be a Score, got {type(score).__name__}")
    if num_dst is not None and type(num_dst) is not int:
        check_count(num_dst, "num_dst")
    sizes: dict[str, int | None] = {
        "dst": num_dst,
        "edge": edge_index.size(1) + num_self_loops,
    }
    named: dict[str, Tensor] = {}
    if values is not None:
        if isinstance(values, Projection):
            shape = values.shape
        else:
            named["values"] = values
            check_shape(values, "values", (None, None, None))
            shape = values.shape
        sizes["src"], sizes["H"] = shape[0], shape[1]
    for name, layout in score.layout.items():
        operand, words = getattr(score, name), layout.split()
        if operand is None and getattr(type(score), name, MISSING) is None:
            continue
        if not isinstance(operand, Projection):
            check_shape(operand, name, tuple(sizes.get(word) for word in words))
            named[name] = operand
        for word, size in zip(words, operand.shape, strict=True):
            if sizes.get(word) is None:
                sizes[word] = size
    if (kernel := score.kernel) is not None and kernel.setting is not None:
        setting = getattr(score, kernel.setting)
        if not (type(setting) is float and abs(setting) < 1e38):
            check_slope(setting, kernel.setting)
    num_dst = sizes["dst"]
    if num_dst is None:
        raise ValueError(
            f"'num_dst' is needed: no operand of {type(score).__name__} tells the number of "
            "destinations"
        )
    num_src = sizes.get("src")
    if num_src is None:
        # Nothing is read of the sources.
        num_src = max(num_dst, int(edge_index.max()) + 1 if edge_index.numel() > 0 else 0)
    if num_dst < 0:
        check_count(num_dst, "num_dst")
    if type(num_self_loops) is not int or not 0 <= num_self_loops <= min(num_src, num_dst):
        check_self_loops(num_self_loops, min(num_src, num_dst))
    if bias is not None and values is not None and not isinstance(bias, Projection):
        check_bias(bias, num_dst, values.shape[1:])
        named["bias"] = bias
    if named:
        check_values(edge_index, **named)
    return num_src, num_dst
