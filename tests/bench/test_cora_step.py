from __future__ import annotations

from pathlib import Path

from graphattn.bench import Settings
from graphattn.bench.cora_step import lineup
from graphattn.bench.measuring import errors_of


def test_contenders_are_the_same_network(data_root: Path) -> None:
    cora = lineup(Settings(root=data_root))
    kinds = [contender.kind for contender in cora.contenders]
    assert kinds == ["pyg", "ours", "ours plain", "ours dense"]
    for contender in cora.contenders:
        assert contender.results is not None
        assert contender.backward is not None
        assert errors_of(contender.results(), cora.reference)["output error"] < 1e-5
        losses = []
        for _ in range(30):
            losses.append(contender.forward())
            contender.backward(losses[-1])
        assert sum(losses[-5:]) < 0.95 * sum(losses[:5])  # it learns
        assert errors_of(contender.results(), cora.reference)["output error"] < 1e-5
