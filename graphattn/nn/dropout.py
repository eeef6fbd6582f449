"""Dropout for features that may be sparse."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from graphattn.ops import sparse_dropout
from graphattn.ops.checks import check_tensor

__all__ = ["Dropout"]


class Dropout(nn.Dropout):
    """:class:`torch.nn.Dropout` that also takes ``torch.sparse_csr`` features, and pairs of both.

    Of a sparse matrix only the non-zeros are drawn: a zero stays zero either way.

    Args:
        p: Probability of dropping a value in training, in ``[0, 1]``.

    Example:
        >>> Dropout(0.6).eval()(torch.eye(3).to_sparse_csr()).layout
        torch.sparse_csr
    """

    def forward(self, x: Any) -> Any:
        """Drop values in training; elsewhere give ``x`` as it is.

        Args:
            x: A dense tensor, a ``torch.sparse_csr`` matrix, or a pair ``(x_src, x_dst)`` of these,
                of which the second may be ``None``.

        Raises:
            TypeError: If it is none of these.
        """
        if isinstance(x, (tuple, list)):
            return tuple(None if one is None else self(one) for one in x)
        check_tensor(x, "x")
        if x.layout == torch.sparse_csr:
            return sparse_dropout(x, self.p, training=self.training)
        return super().forward(x)
