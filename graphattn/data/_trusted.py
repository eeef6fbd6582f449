"""What a file may hold that is read without executing anything: arrays and PyG's containers."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import torch
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

__all__ = ["trusted_globals"]


def trusted_globals() -> AbstractContextManager[None]:
    """Let ``torch.load(weights_only=True)`` read a ``Data`` and arrays of NumPy.

    PyG registers ``Data`` itself, but not what every saved ``Data`` contains.
    """
    makers = {"_reconstruct": np.empty(0).__reduce__()[0], "scalar": np.int64(0).__reduce__()[0]}
    numpy_makers = [
        (maker, f"numpy.{core}.multiarray.{name}")
        for name, maker in makers.items()
        for core in ("core", "_core")
    ]
    numbers = (np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_)
    dtypes = [np.ndarray, np.dtype, *(type(np.dtype(number)) for number in numbers)]
    trusted = [DataEdgeAttr, DataTensorAttr, GlobalStorage, *numpy_makers, *dtypes]
    return torch.serialization.safe_globals(trusted)
