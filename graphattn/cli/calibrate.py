"""``graphattn calibrate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

__all__ = ["Calibrate"]

_PERCENT = ("accuracy", "ece", "classwise_ece")


@dataclass(frozen=True)
class Calibrate:
    """Fit calibrators to the model of a run, and say how far its probabilities can be trusted.

    Learns from validation nodes, stops by training nodes, and measures on test nodes, before and
    after, with 95 % intervals. Writes calibration.json and reliability.png into the run folder.
    """

    folder: tyro.conf.Positional[Path]
    """Run folder."""
    method: tuple[str, ...] = ("gats",)
    """Calibrators: temperature, vector, matrix, ets, dirichlet, isotonic, spline, order_invariant,
    cagcn, gats, wats, gets; or all."""
    root: Path | None = None
    """Folder of all data sets; GRAPHATTN_DATA, else the user's cache folder, if not given."""
    offline: bool = False
    """Never use the network."""

    def run(self) -> int:
        """Print the measures of all methods."""
        from graphattn.calibration import CALIBRATORS
        from graphattn.recipes import calibrate, restore, save_calibration

        restored = restore(self.folder, root=self.root, offline=self.offline)
        methods = tuple(CALIBRATORS) if self.method == ("all",) else self.method
        found = calibrate(restored, methods)
        save_calibration(found, restored)
        table = found.table
        unit = table["measure"].isin(_PERCENT).map({True: 100.0, False: 1.0})
        digits = table["measure"].isin(_PERCENT).map({True: 2, False: 4})
        table["cell"] = [
            f"{value:.{d}f} [{low:.{d}f}, {high:.{d}f}]"
            for value, low, high, d in zip(
                *(table[name] * unit for name in ("value", "low", "high")), digits, strict=True
            )
        ]
        wide = table.pivot(index="method", columns="measure", values="cell")
        wide = wide.loc[list(found.logits), list(dict.fromkeys(table["measure"]))]
        wide = wide.rename(columns={name: f"{name}, %" for name in _PERCENT})
        wide["changed"] = [found.changed[name] for name in wide.index]
        wide.index.name = wide.columns.name = None
        print(f"{restored.experiment.name}, seed {restored.seed}: test nodes, 95 % intervals")
        print(wide.to_string())
        print(f"\ncalibration.json and reliability.png are in {self.folder}")
        return 0
