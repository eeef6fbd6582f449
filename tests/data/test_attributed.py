from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch_geometric.io import read_npz

from graphattn.data import load
from graphattn.data._attributed import read_attributed


def write(
    path: Path, nodes: int = 50, features: int = 20, density: float = 0.1, lowest: float = 0.1
) -> None:
    rng = np.random.default_rng(0)
    x = scipy.sparse.random(nodes, features, density, format="csr", random_state=rng)
    x.data = np.where(x.data < lowest, -x.data, x.data).astype(np.float32)
    ring = np.arange(nodes)
    adjacency = scipy.sparse.csr_matrix((np.ones(nodes), (ring, (ring + ring % 3) % nodes)))
    arrays: dict[str, Any] = {"labels": ring % 3}
    for name, matrix in (("attr", x), ("adj", adjacency)):
        for part in ("data", "indices", "indptr", "shape"):
            arrays[f"{name}_{part}"] = getattr(matrix, part)
    np.savez_compressed(path, **arrays)


def test_as_pyg_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "a.npz")
    ours, theirs = read_attributed(tmp_path / "a.npz"), read_npz(str(tmp_path / "a.npz"))
    assert ours.x.layout == torch.sparse_csr
    assert torch.equal(ours.x.to_dense(), theirs.x)
    assert torch.equal(ours.edge_index, theirs.edge_index)
    assert torch.equal(ours.y, theirs.y)


def test_real_files_as_pyg_reads_them(real_root: Path, repository_cards: None) -> None:
    theirs = read_npz(str(real_root / "CitationFull" / "cora_ml" / "raw" / "cora_ml.npz"))
    dense = load("cora_ml", root=real_root, offline=True)
    sparse = load("cora_ml", root=real_root, offline=True, sparse=True)
    assert torch.equal(dense.x, theirs.x)
    assert torch.equal(sparse.x.to_dense(), theirs.x)
    assert torch.equal(dense.edge_index, theirs.edge_index)


REPOSITORY = Path(__file__).parents[2] / "datasets"
MEASURE = """
import resource, sys
from pathlib import Path
from graphattn.data import _card
from graphattn.recipes import DataConfig, load_data
import graphattn.data._pyg, torch_geometric.datasets

_card._folder = lambda: Path(sys.argv[2])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

load_data(DataConfig("digits", sparse_features=True, normalize_features=True))
before = peak()
config = DataConfig("ring", sparse_features=True, normalize_features=True)
data = load_data(config, root=sys.argv[1])
print(peak() - before, data.x.layout)
"""


def test_features_are_never_dense_on_the_way(
    ring: Path, write_card: Callable[..., None], tmp_path: Path
) -> None:
    """A matrix of 320 MB, 1 % of it not zero: read, check, normalise, keep; then all again."""
    nodes, features = 10_000, 8_000
    folder = ring / "Coauthor" / "CS" / "raw"
    folder.mkdir(parents=True)
    write(folder / "ms_academic_cs.npz", nodes, features, density=0.01, lowest=0)
    write_card(
        loader={
            "kind": "pyg",
            "name": "Coauthor",
            "raw": "Coauthor/CS/raw",
            "arguments": {"name": "CS"},
        },
        statistics={"nodes": nodes, "edges": 13332, "features": features, "classes": 3},
        splits={"public": {"draw": "60/20/20"}},
        files={"Coauthor/CS/raw/ms_academic_cs.npz": None},
    )
    shutil.copy(REPOSITORY / "digits.yaml", tmp_path / "cards")
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-P", "-c", MEASURE, str(ring), str(tmp_path / "cards")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        megabytes, layout = done.stdout.split()
        assert layout == "torch.sparse_csr"
        assert int(megabytes) < 150
