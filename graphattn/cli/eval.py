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

        from graphattn.data import tidy
        from graphattn.recipes import build_model, load_data, make_batches, open_run, take_split
        from graphattn.tasks import make_task
        from graphattn.train import evaluate

        experiment, seed, folder = open_run(self.folder)
        data = load_data(experiment.data, root=self.root, seed=seed, offline=self.offline)
        data, _ = take_split(data, seed)
        model = build_model(experiment, data, seed)
        folder.load_weights(model)
        train = experiment.train
        task = make_task(tidy(data), train.task, metric=train.metric)
        batches = make_batches(experiment.sampling, data, seed).get("eval_batches")
        scores = evaluate(model, data, task=task, batches=batches)
        table = pd.DataFrame(
            {
                "split": ["train", "val", "test"],
                "loss": [f"{scores[f'{split}_loss']:.4f}" for split in ("train", "val", "test")],
                "metric, %": [
                    f"{100 * scores[f'{split}_metric']:.2f}" for split in ("train", "val", "test")
                ],
            }
        )
        print(f"{experiment.name}, seed {seed}")
        print(table.to_string(index=False))
        return 0
