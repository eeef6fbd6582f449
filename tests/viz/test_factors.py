from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from graphattn import calibration
from graphattn.viz import diversity_figure, gap_figure, group_figure

GENERATOR = torch.Generator().manual_seed(0)
P = torch.randn(120, 3, generator=GENERATOR).softmax(1)
Y = torch.randint(3, (120,), generator=GENERATOR)
EDGES = torch.randint(100, (2, 300), generator=GENERATOR)
TRAIN = torch.arange(120) < 2


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def test_groups() -> None:
    frame = calibration.distance_to_training(P, Y, EDGES, TRAIN)
    figure = group_figure(frame, xlabel="hops", title="Distance")
    (axes,) = figure.axes
    filled = frame[frame["count"] > 0]
    for bars, column in zip(axes.containers[:2], ("accuracy", "confidence"), strict=True):
        assert [bar.get_height() for bar in bars] == pytest.approx(filled[column].tolist())
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert names[0] == "0\n2 nodes"
    assert names[-1].startswith("unreachable\n")
    assert axes.get_xlabel() == "hops"
    assert png(figure).startswith(b"\x89PNG")


def test_methods_side_by_side() -> None:
    rows = [calibration.under_confidence(P, Y).assign(group=name) for name in ("none", "TS")]
    (axes,) = group_figure(pd.concat(rows)).axes
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert names == ["none\n120 nodes", "TS\n120 nodes"]


def test_diversity() -> None:
    figure = diversity_figure(calibration.diversity(P, Y))
    assert [axes.get_xlabel() for axes in figure.axes] == ["confidence", "entropy / log C"]
    for axes in figure.axes:
        right, wrong = axes.containers
        assert sum(bar.get_height() for bar in [*right, *wrong]) == 120
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "factor", [calibration.relative_confidence, calibration.neighbor_similarity]
)
def test_gaps(factor: object) -> None:
    frame = factor(P, Y, EDGES)
    figure = gap_figure(frame, xlabel="share")
    top, bottom = figure.axes
    filled = frame[(frame["count"] > 0) & frame["lower"].notna()]
    drawn = top.lines[1].get_xydata()
    np.testing.assert_allclose(drawn, filled[["value", "gap"]].to_numpy())
    without = int(frame["count"].iloc[-1])
    assert without > 0
    assert bottom.get_xlabel() == f"share\n{without} nodes have no neighbours"
    assert sum(bar.get_height() for bar in bottom.containers[0]) == 120 - without
    assert png(figure).startswith(b"\x89PNG")


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="'frame' must have a node with a value, got none"):
        gap_figure(calibration.relative_confidence(P, Y, EDGES[:, :0]))
    for draw in (diversity_figure, gap_figure, group_figure):
        with pytest.raises(ValueError, match="'frame' must have the columns"):
            draw(pd.DataFrame({"a": [1]}))
        with pytest.raises(TypeError, match="'frame' must be a DataFrame"):
            draw(None)
