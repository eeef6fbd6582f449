"""What a score is: its operands, its definition per edge and, where there is one, its kernel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

__all__ = ["Kernel", "Score"]


class Kernel(NamedTuple):
    """A kernel for a score, and which fields of the score it takes where."""

    name: str
    """Its name: ``graphattn_<name>`` of ``_native``, its line in ``FORMULAS`` of ``gpu_scores``."""
    nodes: tuple[str, ...] = ()
    """Operands of nodes behind the values, and parameters."""
    values: str | None = None
    """The operand that is also what is summed; other values can't be summed by this kernel."""
    edge_x: str | None = None
    """Wide operand of edges."""
    edge_score: str | None = None
    """Operand of edges with a number per head."""
    setting: str | None = None
    """Field with a number."""
    same_channels: bool = False
    """Whether values have to have the channels of the score's operands."""
    softmax: bool = True
    """Whether weights are the softmax of scores; else scores are the weights."""
    record: int = 3
    """Numbers per destination and head that backward on the CPU gathers: three of the softmax,
    others of the score."""
    late: int | None = None
    """Place of the operand that backward gathers to its end: only behind that its gradient may take
    its place."""
    parameter: int | None = None
    """Place of the last operand where it is a parameter: its gradient comes in blocks of nodes."""


@dataclass(frozen=True, eq=False)
class Score(ABC):
    r"""The score :math:`s_e` of every edge, before the softmax over the edges that enter a node.

    A subclass is a frozen dataclass that holds the operands, says in ``layout`` what their rows
    are, and gives the score of edges in plain torch. Everything else (self-loops, softmax, dropout,
    sums, all derivatives) is that of :func:`graphattn.ops.attend`. A score without a kernel of its
    own is computed by its definition and then given to the kernel of
    :class:`graphattn.ops.GivenScore`.

    Example:
        >>> @dataclass(frozen=True, eq=False)
        ... class DistanceScore(Score):
        ...     src: Tensor
        ...     dst: Tensor
        ...     layout = {"src": "src H C", "dst": "dst H C"}
        ...
        ...     def of_edges(self, src, dst):
        ...         return -(src - dst).square().sum(dim=-1)
    """

    layout: ClassVar[Mapping[str, str]]
    """Of every field with a tensor, rows and sizes: ``"src H"``, ``"dst H C"``, ``"edge H C"``;
    ``"H C"`` for a parameter. Rows of edges are followed by those of self-loops."""
    kernel: ClassVar[Kernel | None] = None
    """The kernel that computes it."""
    value_edge_x: ClassVar[str | None] = None
    """The field that is added to the values of edges, too."""

    @abstractmethod
    def of_edges(self, **operands: Any) -> Tensor:
        """The score of edges from the rows of all operands that belong to them. ``[E, H]``.

        Args:
            **operands: Of each field in ``layout`` the rows ``[E, ...]`` of sources, destinations
                or edges, a parameter as it is; ``None`` where a field is.
        """

    @property
    def num_dst(self) -> int | None:
        """Number of destinations, where an operand tells."""
        for name, layout in self.layout.items():
            if layout.startswith("dst "):
                count: int = getattr(self, name).shape[0]
                return count
        return None

    def operands(self) -> dict[str, Any]:
        """The fields in ``layout`` by name."""
        return {name: getattr(self, name) for name in self.layout}

    def replace(self, **operands: Any) -> Score:
        """The same score of other operands."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{**values, **operands})
