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
        """Print loss and metric of the three splits."""
        import pandas as pd

        from graphattn.recipes import restore
        from graphattn.train import evaluate

        restored = restore(self.folder, root=self.root, offline=self.offline)
        scores = evaluate(restored.model, restored.data)
        table = pd.DataFrame(
            {
                "split": ["train", "val", "test"],
                "loss": [f"{scores[f'{split}_loss']:.4f}" for split in ("train", "val", "test")],
                "metric, %": [
                    f"{100 * scores[f'{split}_metric']:.2f}" for split in ("train", "val", "test")
                ],
            }
        )
        print(f"{restored.experiment.name}, seed {restored.seed}")
        print(table.to_string(index=False))
        return 0
