"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "agg")
if not torch.cuda.is_available():
    # Decided when triton is imported: its kernels then run on tensors of the CPU.
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real data sets, in PyG's layout."""
    root = os.environ.get("GRAPHATTN_DATA")
    if not root:
        pytest.skip("GRAPHATTN_DATA is not set, so there are no real data sets here")
    return Path(root)
