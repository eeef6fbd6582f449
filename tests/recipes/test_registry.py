from __future__ import annotations

import pytest

from graphattn.data import card
from graphattn.recipes import RECIPES, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_names_lead_to_data_and_network(name: str) -> None:
    experiment = recipe(name)
    method, data = name.removesuffix("_sampled").split("/")
    assert (experiment.name, experiment.method, experiment.data.name) == (name, method, data)
    assert bool(experiment.sampling.num_neighbors) == name.endswith("_sampled")
    found = card(data)
    found.split(experiment.data.split)
    model = experiment.model.build(found.statistics.features, found.statistics.classes)
    assert model.out_channels == found.statistics.classes


def test_unknown_recipe() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'gat/citseer'; did you mean"):
        recipe("gat/citseer")
