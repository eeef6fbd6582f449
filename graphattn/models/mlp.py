"""A multi-layer perceptron with the signature of a graph network."""

from __future__ import annotations

from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.typing import Adj

from graphattn.ops.checks import check_tensor

__all__ = ["MLP"]


class MLP(pyg.MLP):
    """:class:`torch_geometric.nn.MLP` that is called with edges and does not look at them.

    The comparison that tells what a graph adds. Constructor arguments are PyG's; batch
    normalisation is off unless asked for.

    Example:
        >>> import torch
        >>> MLP(in_channels=4, hidden_channels=8, out_channels=2, num_layers=2)
        MLP(4, 8, 2)
        >>> MLP([4, 2])(torch.ones(3, 4), edge_index=None).shape
        torch.Size([3, 2])
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("norm", None)
        names = ("channel_list", "in_channels", "hidden_channels", "out_channels")
        for name in names:
            given = args[0] if args and name == "channel_list" else kwargs.get(name)
            for width in given if isinstance(given, (list, tuple)) else [given]:
                if width is None or (name in names[:2] and width == -1):
                    continue
                if not isinstance(width, int) or not 1 <= width < 2**31:
                    raise ValueError(f"'{name}' must hold whole numbers from 1, got {width!r}")
        super().__init__(*args, **kwargs)

    def forward(self, x: Tensor, edge_index: Adj = None, edge_attr: Tensor | None = None) -> Tensor:
        """Map features of shape ``[N, F]`` to ``[N, out_channels]``, each node by itself.

        Raises:
            TypeError: If ``x`` is no tensor.
            ValueError: If the width of ``x`` is not ``in_channels``.
        """
        check_tensor(x, "x")
        if x.size(-1) != self.in_channels:
            raise ValueError(
                f"'x' has {x.size(-1)} features per node, expected {self.in_channels} "
                "('in_channels')"
            )
        out: Tensor = super().forward(x.to_dense())
        return out
