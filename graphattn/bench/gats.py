"""Calibration by GATS on a graph as large as Reddit's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from typing_extensions import override

from graphattn.bench.case import Goal, Kinds, Lineup, Settings
from graphattn.bench.measuring import Contender
from graphattn.bench.products import power_law_edges
from graphattn.calibration import GATSScaler

__all__ = ["CLASSES", "EDGES", "NODES", "epoch_s", "lineup", "minutes", "peak_gb"]

NODES, EDGES, CLASSES = 232_965, 114_615_892, 41
TRAIN, VAL = 0.1, 0.05
"""Shares of nodes in the protocol of GATS: two folds and one of 5 %."""


class _Counting(GATSScaler):
    """Counts the epochs of its fit."""

    epochs = 0

    @override
    def loss(self, calibrated: Tensor, y: Tensor) -> Tensor:
        self.epochs += self.training
        return super().loss(calibrated, y)


def _logits(y: Tensor) -> Tensor:
    """Logits that are right for 95 % of nodes, with an expected calibration error of 7 %.

    That is the error that is published of a GCN on Reddit; it is less sure than it could be.
    """
    logits = torch.randn(len(y), CLASSES)
    logits[torch.arange(len(y)), y] += 4
    return 2.4 * logits


def lineup(settings: Settings) -> Lineup:
    """Ours alone; a peer would need 18.8 GB for each array of logits by edge.

    A step is a whole fit, and then the logits of all nodes. It runs once. Losses are those of nodes
    that are in neither mask.

    Args:
        settings: Wishes of the user.
    """
    torch.manual_seed(0)
    nodes, edges = round(NODES * settings.scale), round(EDGES * settings.scale / 2) * 2
    edge_index = power_law_edges(nodes, edges)
    y = torch.randint(CLASSES, (nodes,))
    logits = _logits(y)
    place = torch.rand(nodes)
    train_mask, val_mask = place < TRAIN, place > 1 - VAL
    scaler = _Counting(CLASSES)

    def fit() -> GATSScaler:
        return scaler.fit(logits, y, edge_index, train_mask=train_mask, val_mask=val_mask)

    others = ~(train_mask | val_mask)
    counts = {"loss before": float(cross_entropy(logits[others], y[others]))}

    def apply(fitted: GATSScaler) -> None:
        with torch.no_grad():
            calibrated = fitted(logits, edge_index, train_mask)
        counts["loss after"] = float(cross_entropy(calibrated[others], y[others]))

    contender = Contender(
        f"graphattn, GATS, {scaler.heads} heads",
        "ours",
        fit,
        apply,
        once=True,
        counts=lambda: {"epochs": scaler.epochs, **counts},
    )
    entering = torch.bincount(edge_index[1], minlength=nodes)
    learned, stopped = (int(entering[mask].sum()) for mask in (val_mask, train_mask))
    return Lineup(
        [contender],
        note=(
            f"{learned:,} edges enter validation nodes and {stopped:,} training nodes; largest "
            f"in-degree {int(entering.max()):,}; memory is of the whole process"
        ),
    )


def minutes() -> Goal:
    """Minutes of the whole fit, and of the logits of all nodes."""
    return Goal("minutes of all", 20, 10, lambda rows: rows["ours"].ms / 60e3, at_most=True)


def epoch_s() -> Goal:
    """Seconds of an epoch."""

    def seconds(rows: Kinds) -> float | None:
        ours = rows["ours"]
        return ours.forward_ms / 1e3 / ours.counts["epochs"]

    return Goal("seconds an epoch, preparation included", None, None, seconds, at_most=True)


def peak_gb() -> Goal:
    """Memory of the process."""

    def peak(rows: Kinds) -> float | None:
        found = rows["ours"].peak_mb
        return None if found is None else found / 1e3

    return Goal("peak memory of the process, GB", 8, 4, peak, at_most=True)
