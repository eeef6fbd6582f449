from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from graphattn.nn import Dropout
from graphattn.ops import sparse_dropout


def test_equals_torch_s_and_ours_for_sparse_features() -> None:
    x, drop = torch.randn(50, 20), Dropout(0.4)
    sparse = x.relu().to_sparse_csr()
    for training in (True, False):
        drop.train(training)
        torch.manual_seed(3)
        dense, (src, dst, none) = drop(x), drop((x, sparse, None))
        torch.manual_seed(3)
        assert torch.equal(dense, functional.dropout(x, 0.4, training))
        assert torch.equal(src, functional.dropout(x, 0.4, training))
        expected = sparse_dropout(sparse, 0.4, training=training)
        assert dst.layout == torch.sparse_csr
        assert torch.equal(dst.values(), expected.values())
        assert none is None
    assert drop(sparse) is sparse


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="'x' must be a tensor, got ndarray"):
        Dropout(0.4)(torch.ones(2).numpy())
