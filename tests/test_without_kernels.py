"""The library works without its native library and without Triton, only slower."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import graphattn

SCRIPT = """
import json, sys
sys.modules["triton"] = None  # as if it were not installed
import torch
from graphattn.nn import GATConv, GATv2Conv, TransformerConv
from graphattn.ops import sample_neighbors, build_csr
from graphattn.ops._dispatch import choices

torch.manual_seed(0)
x, edges = torch.randn(30, 8), torch.randint(30, (2, 200))
found = {"file": sys.modules["graphattn"].__file__}
for make in (GATConv, GATv2Conv, TransformerConv):
    torch.manual_seed(1)
    layer = make(8, 4, heads=2, dropout=0.5)
    out = layer(x, edges)
    out.square().sum().backward()
    grads = [p.grad.sum().item() for p in layer.parameters() if p.grad is not None]
    found[make.__name__] = [out.sum().item(), *grads]
csr = build_csr(edges, num_src=30, num_dst=30)
found["sample"] = sample_neighbors(csr.rowptr, csr.col, torch.tensor([3]), [4, 4]).nodes.tolist()
found["choices"] = {c.op: [c.implementation, c.reason] for c in choices("cpu")}
print(json.dumps(found))
"""


INFO = "import sys; from graphattn.cli import main; sys.argv[1:] = ['info']; main()"


def run(code: str, folder: Path) -> str:
    """What a program prints; packages in the folder come before those that are installed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_nothing_but_speed_is_lost(tmp_path: Path) -> None:
    package = Path(graphattn.__file__).parent
    leave = shutil.ignore_patterns("*.so", "*.dylib", "*.dll", "__pycache__")
    shutil.copytree(package, tmp_path / "graphattn", ignore=leave)
    bare, whole = json.loads(run(SCRIPT, tmp_path)), json.loads(run(SCRIPT, package.parent))
    assert Path(bare["file"]).is_relative_to(tmp_path)
    for implementation, reason in bare["choices"].values():
        assert implementation == "reference"
        assert "not built: no working C++ compiler" in reason
    for name in ("GATConv", "GATv2Conv", "TransformerConv", "sample"):
        for one, other in zip(bare[name], whole[name], strict=True):
            assert abs(one - other) <= 1e-4 * max(1.0, abs(other)), name
    said = run(
        "from graphattn.cli import main; import sys; sys.argv[1:] = ['info']; main()", tmp_path
    )
    assert "native library not built: no working C++ compiler when graphattn was installed" in said
