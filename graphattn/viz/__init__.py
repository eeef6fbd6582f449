"""Figures of tables that other rooms compute; nothing is computed here.

Every function returns a :class:`matplotlib.figure.Figure` that notebooks show and ``savefig``
writes; there is no state, and no window opens.
"""

from graphattn.viz.factors import diversity_figure, gap_figure, group_figure
from graphattn.viz.reliability import reliability_diagram, reliability_diagram_of_runs

__all__ = [
    "diversity_figure",
    "gap_figure",
    "group_figure",
    "reliability_diagram",
    "reliability_diagram_of_runs",
]
