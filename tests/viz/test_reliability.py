from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from graphattn.viz import reliability_diagram, reliability_diagram_of_runs

BINS = pd.DataFrame(
    {
        "lower": [0.0, 0.25, 0.5, 0.75],
        "upper": [0.25, 0.5, 0.75, 1.0],
        "confidence": [np.nan, 0.4, 0.6, 0.9],
        "accuracy": [np.nan, 0.5, 0.5, 0.95],
        "count": [0, 10, 20, 1500],
    }
)
BAND = BINS.assign(accuracy_std=[np.nan, np.nan, 0.05, 0.01], runs=[0, 1, 2, 2])


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_bars_are_accuracies_and_gaps() -> None:
    figure = reliability_diagram(BINS, title="Cora")
    top, bottom = figure.axes
    accuracies, gaps = top.containers
    assert [bar.get_height() for bar in accuracies] == [0.5, 0.5, 0.95]
    assert [bar.get_x() for bar in accuracies] == [0.25, 0.5, 0.75]
    assert [bar.get_width() for bar in accuracies] == [0.25] * 3
    tops = [bar.get_y() + bar.get_height() for bar in gaps]
    assert tops == pytest.approx([0.4, 0.6, 0.9])
    assert [bar.get_height() for bar in bottom.containers[0]] == [10, 20, 1500]
    assert labels(figure) == ["calibrated", "accuracy", "gap to confidence"]
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("accuracy", "nodes")
    assert bottom.get_xlabel() == "confidence"
    assert png(figure).startswith(b"\x89PNG")


def test_several_runs_side_by_side() -> None:
    figure = reliability_diagram({"uncalibrated": BINS, "GATS": BINS})
    assert [axes.get_title() for axes in figure.axes] == ["uncalibrated", "GATS", "", ""]
    assert len(figure.legends) == 1


def test_many_runs_take_several_rows() -> None:
    names = [f"method {number}" for number in range(7)]
    figure = reliability_diagram(dict.fromkeys(names, BINS))
    titled = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in titled] == names
    assert len(figure.axes) == 14
    assert [bool(axes.get_ylabel()) for axes in titled] == [True, *[False] * 4, True, False]
    assert png(figure).startswith(b"\x89PNG")


def test_band_of_runs() -> None:
    figure = reliability_diagram_of_runs(BAND, [BINS, BINS])
    top, bottom = figure.axes
    diagonal, first, second, mean = top.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    for line in (first, second, mean):
        assert line.get_xydata().tolist() == [[0.4, 0.5], [0.6, 0.5], [0.9, 0.95]]
    assert labels(figure) == ["calibrated", "runs", "±1 standard deviation", "mean"]
    assert sum(bar.get_height() for bar in bottom.containers[0]) == 1530
    assert png(figure).startswith(b"\x89PNG")


def test_band_alone() -> None:
    assert "runs" not in labels(reliability_diagram_of_runs(BAND))


def test_inputs_stay_as_they_are() -> None:
    before = BAND.copy()
    reliability_diagram(BAND)
    reliability_diagram_of_runs(BAND, [BAND])
    pd.testing.assert_frame_equal(BAND, before)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'bins' must have at least one table, got none"):
        reliability_diagram({})
    with pytest.raises(ValueError, match=r"none named \['count'\]"):
        reliability_diagram({"TS": BINS.drop(columns="count")})
    with pytest.raises(ValueError, match=r"none named \['accuracy_std'\]"):
        reliability_diagram_of_runs(BINS)
    with pytest.raises(TypeError, match="'runs' must be a DataFrame"):
        reliability_diagram_of_runs(BAND, [0.5])


def test_no_window_and_no_calibration_is_loaded() -> None:
    code = (
        "import sys, graphattn.viz; print(*(name for name in "
        "('matplotlib.pyplot', 'graphattn.calibration', 'torch') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
