"""``graphattn datasets``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

__all__ = ["Datasets"]

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Datasets:
    """List the data sets, or tell all about one and check the files that are there."""

    name: tyro.conf.Positional[str | None] = None
    """Data set, or path of a graph of your own; all data sets if not given."""
    check: bool = False
    """Load the set (downloading it if needed) and compare it with its card."""
    root: Path | None = None
    """Folder of all data sets; GRAPHATTN_DATA, else the user's cache folder, if not given."""
    offline: bool = False
    """Never use the network."""

    def run(self) -> int:
        """Print the table, or the card."""
        from graphattn.data import own_path

        if self.name is None:
            _print_all()
        elif (path := own_path(self.name)) is not None:
            _print_own(path)
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
    print(
        "\n`graphattn datasets NAME` tells more about one. Any can also be split anew, such as by "
        "--data.split 60/20/20."
    )


def _print_own(path: Path) -> None:
    from graphattn.data import notice_one_way, read_graph

    data = read_graph(path)
    notice_one_way(data)
    names = data.get("class_names")
    labels = f"{data.num_classes} classes" if "y" in data else "no labels"
    splits = "no split, draw one with --data.split 60/20/20"
    if "train_mask" in data:
        sizes = [data[f"{part}_mask"].view(data.num_nodes, -1)[:, 0] for part in _PARTS]
        splits = "split " + "/".join(str(int(size.sum())) for size in sizes)
        if data.train_mask.dim() == 2:
            splits += f" (the first of {data.train_mask.size(1)})"
    print(
        f"{data.num_nodes:,} nodes, {data.num_edges:,} edges, {data.num_features:,} features, "
        f"{labels}{f' ({_brief(names)})' if names else ''}, {splits}"
    )


def _brief(names: list[str]) -> str:
    """The first names of classes, without what a terminal would obey."""
    shown = ", ".join(repr(name[:40]) for name in names[:8])
    return shown + (", ..." if len(names) > 8 else "")


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
