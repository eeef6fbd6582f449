"""``graphattn eval``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

__all__ = ["Eval"]


@dataclass(frozen=True)
class Eval:
    """Load the model of a run and compute its figures again, on this machine."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""
    root: Path | None = None
    """Folder of all data sets; GRAPHATTN_DATA, else the user's cache folder, if not given."""
    offline: bool = False
    """Never use the network."""

    def run(self) -> int:
        """Print loss and metrics of the three splits."""
        import pandas as pd

        from graphattn.recipes import make_batches, restore
        from graphattn.train import evaluate

        restored = restore(self.folder, root=self.root, offline=self.offline)
        made = make_batches(restored.experiment.sampling, restored.data, restored.seed)
        scores = evaluate(
            restored.model, restored.data, task=restored.task, batches=made.get("eval_batches")
        )
        splits = ["train", "val", "test"]
        columns = {"split": splits, "loss": [f"{scores[f'{split}_loss']:.4f}" for split in splits]}
        for name in restored.task.metrics:
            columns[f"{name}, %"] = [f"{100 * scores[f'{split}_{name}']:.2f}" for split in splits]
        table = pd.DataFrame(columns)
        print(f"{restored.experiment.name}, seed {restored.seed}")
        print(table.to_string(index=False))
        return 0
