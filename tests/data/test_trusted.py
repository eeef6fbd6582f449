from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphattn.data._trusted import trusted_globals


def read(content: Any) -> Any:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    with trusted_globals():
        return torch.load(file, weights_only=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_])
def test_arrays_in_a_graph(dtype: type) -> None:
    data = read(Data(x=np.ones((3, 2), dtype=dtype), y=torch.ones(3), nodes=np.int64(3)))
    assert data.x.dtype == dtype
    assert data.y.tolist() == [1, 1, 1]


def test_nothing_else() -> None:
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        read(Data(x=np.array([print])))


def test_only_while_it_lasts() -> None:
    before = set(torch.serialization.get_safe_globals())
    with trusted_globals():
        assert set(torch.serialization.get_safe_globals()) > before
    assert set(torch.serialization.get_safe_globals()) == before
