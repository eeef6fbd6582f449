from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from graphattn.viz.style import DARK, GREY, LIGHT, check_frame, new_figure, tidy


def test_colours_differ_in_grey() -> None:
    dark, grey, light = (
        0.299 * red + 0.587 * green + 0.114 * blue
        for red, green, blue in map(to_rgb, (DARK, GREY, LIGHT))
    )
    assert dark + 0.2 < grey
    assert grey + 0.1 < light


def test_bad_frames() -> None:
    frame = pd.DataFrame({"count": [1]})
    check_frame("bins", frame, ["count"])
    with pytest.raises(TypeError, match="'bins' must be a DataFrame, got list"):
        check_frame("bins", [1], ["count"])
    with pytest.raises(ValueError, match=r"'bins' must have .* none named \['lower'\]"):
        check_frame("bins", frame, ["count", "lower"])
    with pytest.raises(ValueError, match="'bins' must have at least one row, got none"):
        check_frame("bins", frame[:0], ["count"])


def test_title_is_that_of_the_figure() -> None:
    figure = new_figure(2, 1, "Cora")
    assert figure.get_suptitle() == "Cora"
    assert new_figure(2, 1, None).get_suptitle() == ""
    axes = figure.subplots()
    tidy(axes)
    assert not axes.spines["top"].get_visible()
