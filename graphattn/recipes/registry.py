"""All recipes by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from graphattn._core.errors import unknown_name
from graphattn.recipes import aero_gnn, gat, gat_tuned
from graphattn.recipes.experiment import Experiment

__all__ = ["RECIPES", "recipe"]

RECIPES: Mapping[str, Callable[[], Experiment]] = MappingProxyType(
    {
        "gat/cora": gat.cora,
        "gat/citeseer": gat.citeseer,
        "gat/digits": gat.digits,
        "gat/digits_sampled": gat.digits_sampled,
        "mlp/digits": gat.digits_mlp,
        **{f"aero_gnn/{data}": partial(aero_gnn.aero_gnn, data) for data in aero_gnn.AERO_GNN_DATA},
        **{f"gat/{data}": partial(aero_gnn.gat, data) for data in aero_gnn.GAT_DATA},
        **{f"gatv2/{data}": partial(aero_gnn.gatv2, data) for data in aero_gnn.GATV2_DATA},
        **{
            f"gat_tuned/{data}": partial(gat_tuned.gat_tuned, data)
            for data in gat_tuned.GAT_TUNED_DATA
        },
    }
)
"""Functions that make an experiment, in the order of the results table."""


def recipe(name: str) -> Experiment:
    """The experiment of a name.

    Args:
        name: A key of :data:`RECIPES`, such as ``"gat/cora"``.

    Raises:
        ValueError: If there is no such recipe; the error names the nearest ones.

    Example:
        >>> recipe("gat/cora").published.mean
        83.0
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]()
