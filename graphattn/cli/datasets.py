"""``graphattn datasets``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

__all__ = ["Datasets"]


@dataclass(frozen=True)
class Datasets:
    """List the data sets, or tell all about one and check the files that are there."""

    name: tyro.conf.Positional[str | None] = None
    """Data set; all of them if not given."""
    check: bool = False
    """Load the set (downloading it if needed) and compare it with its card."""
    root: Path | None = None
    """Folder of all data sets; GRAPHATTN_DATA, else the user's cache folder, if not given."""
    offline: bool = False
    """Never use the network."""

    def run(self) -> int:
        """Print the table, or the card."""
        if self.name is None:
            _print_all()
        else:
            _print_one(self.name)
            if self.check:
                from graphattn.data import load

                print(
                    f"\nloaded and equal to its card: "
                    f"{load(self.name, root=self.root, offline=self.offline)}"
                )
        return 0


def _print_all() -> None:
    import pandas as pd

    from graphattn.data import cards

    rows = [
        {
            "name": card.name,
            "nodes": f"{card.statistics.nodes:,}",
            "edges": f"{card.statistics.edges:,}",
            "features": f"{card.statistics.features:,}",
            "classes": card.statistics.classes,
            "splits": ", ".join(card.splits),
        }
        for card in cards()
    ]
    print(pd.DataFrame(rows).to_string(index=False))
    print("\n`graphattn datasets NAME` tells more about one.")


def _print_one(name: str) -> None:
    from graphattn.data import card

    found = card(name)
    sizes = found.statistics
    print(f"{found.title}\n")
    print(
        f"{sizes.nodes:,} nodes, {sizes.edges:,} edges, {sizes.features:,} features, "
        f"{sizes.classes} classes ({found.task})"
    )
    for split, protocol in found.splits.items():
        default = " (default)" if split == found.default_split else ""
        size = "/".join(map(str, protocol.sizes or ())) or "sizes not stated"
        count = f", {protocol.count} splits" if protocol.count > 1 else ""
        print(f"split {split}{default}: {size}{count}. {protocol.note}")
    print(f"\nsource:   {found.source}\ncitation: {found.citation}\nlicence:  {found.licence}")
    if found.note:
        print(f"note:     {found.note}")
