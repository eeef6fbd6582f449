"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "agg")
# Shells start background jobs with Ctrl-C ignored; here it is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Each worker, and what it starts, gets its share of the cores.
    share = max(1, (os.cpu_count() or 1) // int(workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))
    torch.set_num_threads(share)
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
