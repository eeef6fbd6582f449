from __future__ import annotations

from pathlib import Path

import torch

from graphattn.bench.cora_step import cora_step


def test_contenders_are_the_same_network(data_root: Path) -> None:
    contenders = cora_step(data_root)
    first = contenders[0].output()
    for contender in contenders[1:]:
        torch.testing.assert_close(contender.output(), first)
        contender.step()
        assert not torch.equal(contender.output(), first)
