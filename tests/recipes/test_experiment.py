from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from graphattn.recipes import RECIPES, Experiment, recipe


@pytest.mark.parametrize("name", ["gat/cora", "aero_gnn/cora"])
def test_settings_survive_yaml(name: str) -> None:
    experiment = recipe(name)
    plain = experiment.to_dict()
    again = yaml.safe_load(yaml.safe_dump(plain))
    assert again == plain
    assert Experiment.from_dict(again).train == experiment.train


@pytest.mark.parametrize("name", RECIPES)
def test_settings_survive_the_run_folder(name: str) -> None:
    experiment = recipe(name)
    again = Experiment.from_dict(experiment.to_dict())
    assert (again.name, again.model, again.data, again.train) == (
        experiment.name,
        experiment.model,
        experiment.data,
        experiment.train,
    )


def test_a_change_takes_the_name_away() -> None:
    cora = recipe("gat/cora")
    same = cora.changed(
        model=cora.model, data=cora.data, train=replace(cora.train, accelerator="cpu")
    )
    assert (same.name, same.published) == (cora.name, cora.published)
    assert same.train.accelerator == "cpu"
    other = cora.changed(model=replace(cora.model, heads=4), data=cora.data, train=cora.train)
    assert other.published is None
    again = cora.changed(model=replace(cora.model, heads=4), data=cora.data, train=cora.train)
    third = cora.changed(model=replace(cora.model, heads=2), data=cora.data, train=cora.train)
    assert other.name == again.name != third.name
    assert other.name.startswith("gat/cora-")
    with pytest.raises(ValueError, match="graphattn train gat --dataset citeseer"):
        cora.changed(model=cora.model, data=replace(cora.data, name="citeseer"), train=cora.train)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"methud": "gat"}, "unknown key of a config 'methud'; did you mean 'method'"),
        ({"method": "gatt"}, "unknown method 'gatt'; did you mean 'gat'"),
        ({"data": {"nmae": "cora"}}, "unknown key of 'data' 'nmae'; did you mean 'name'"),
        ({"train": {"lr": -1.0}}, "'lr'"),
    ],
)
def test_bad_settings(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Experiment.from_dict({**recipe("gat/cora").to_dict(), **change})


def test_missing_settings() -> None:
    values = recipe("gat/cora").to_dict()
    del values["model"]
    with pytest.raises(ValueError, match="the config lacks model"):
        Experiment.from_dict(values)
