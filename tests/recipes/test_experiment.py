from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from graphattn.models import AEROGNNConfig, GATConfig, MLPConfig, ModelConfig
from graphattn.recipes import RECIPES, Experiment, SamplingConfig, recipe
from graphattn.train import TrainConfig


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
    sections = ("name", "model", "data", "train", "sampling")
    assert [getattr(again, name) for name in sections] == [
        getattr(experiment, name) for name in sections
    ]


def test_sampling_is_a_change_like_others_and_old_settings_have_none() -> None:
    cora = recipe("gat/cora")
    same = {"model": cora.model, "data": cora.data, "train": cora.train}
    sampled = cora.changed(**same, sampling=SamplingConfig(num_neighbors=(15, 10)))
    workers = cora.changed(**same, sampling=SamplingConfig(num_workers=3))
    assert sampled.name.startswith("gat/cora-")
    assert (workers.name, cora.changed(**same).name) == ("gat/cora", "gat/cora")
    values = cora.to_dict()
    del values["sampling"]
    assert Experiment.from_dict(values).sampling == SamplingConfig()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num_neighbors": (5, -2)}, "'num_neighbors' must be at least -1, got -2"),
        ({"batch_size": 0}, "'batch_size' must be at least 1, got 0"),
        ({"num_workers": -1}, "'num_workers' must be at least 0, got -1"),
        ({"eval_num_neighbors": (3,)}, "'eval_num_neighbors' goes with 'num_neighbors'"),
    ],
)
def test_bad_sampling(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SamplingConfig(**settings)
    with pytest.raises(TypeError, match="'num_neighbors' must hold whole numbers, got 5"):
        SamplingConfig(num_neighbors=5)  # type: ignore[arg-type]


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


def test_missing_settings_take_their_defaults_but_for_what_names_the_run() -> None:
    values = recipe("gat/cora").to_dict()
    del values["model"], values["train"], values["data"]["sparse_features"]
    opened = Experiment.from_dict(values)
    assert (opened.model, opened.train) == (GATConfig(), TrainConfig())
    assert opened.data == replace(recipe("gat/cora").data, sparse_features=False)
    for key in ("name", "method", "data"):
        rest = {name: value for name, value in values.items() if name != key}
        with pytest.raises(ValueError, match=f"the config lacks {key}"):
            Experiment.from_dict(rest)


def change(experiment: Experiment, section: str, **values: object) -> Experiment:
    sections = {name: getattr(experiment, name) for name in ("model", "data", "train")}
    sections[section] = replace(sections[section], **values)
    return experiment.changed(**sections)


def test_a_name_depends_on_what_differs_from_the_recipe_alone() -> None:
    """A setting that a later version adds changes no name while it has its default."""
    # These names stand in folders of runs: equal ones must come out of every later version.
    cora = recipe("gat/cora")
    assert change(cora, "model", heads=4).name == "gat/cora-f5f6ba93"
    assert change(cora, "train", weight_decays=(("a", 0.0), ("b", 1.0))).name == "gat/cora-a41620b3"
    other = change(recipe("gat/citeseer"), "model", heads=4)
    assert other.name.rpartition("-")[2] == change(cora, "model", heads=4).name.rpartition("-")[2]


def test_equal_changes_give_equal_names() -> None:
    cora = recipe("gat/cora")
    assert change(cora, "train", lr=1).name == change(cora, "train", lr=1.0).name
    assert change(cora, "train", l2=-0.0).name == cora.name
    pairs = change(cora, "train", weight_decays=(("*bias", 0),))
    assert pairs.name == change(cora, "train", weight_decays=(("*bias", 0.0),)).name
    both = change(change(cora, "train", lr=0.1), "model", heads=4)
    assert both.name.startswith("gat/cora-")


def test_different_changes_give_different_names() -> None:
    cora = recipe("gat/cora")
    names = [change(cora, "train", lr=k / 7).name for k in range(1, 500)]
    names += [change(cora, "train", weight_decay=k / 7).name for k in range(500)]
    names += [change(cora, "train", weight_decays=((k, 0.1),)).name for k in ("a", "b", "a*")]
    names += [change(cora, "model", norm=k).name for k in ("layer_norm", "batch_norm")]
    assert len(set(names)) == len(names)


def test_what_decides_about_no_number_changes_no_name() -> None:
    cora = recipe("gat/cora")
    free = {"accelerator": "cpu", "checkpoint_seconds": 9.0, "deterministic": True}
    assert change(cora, "train", **free).name == cora.name
    assert change(cora, "train", lr=0.1, **free).name == change(cora, "train", lr=0.1).name


def test_another_method_is_described_by_what_differs_from_its_defaults() -> None:
    cora = recipe("gat/cora")
    first, second = (
        cora.changed(model=model, data=cora.data, train=cora.train)
        for model in (MLPConfig(), MLPConfig(dropout=0.1))
    )
    assert len({cora.name, first.name, second.name}) == 3


@pytest.mark.parametrize("name", ["", "/etc", "../victim", "a/../../b", "a\nb", ".git"])
def test_a_name_that_is_no_path_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="'name'"):
        Experiment(name)
    with pytest.raises(ValueError, match="'name'"):
        Experiment.from_dict({**recipe("gat/cora").to_dict(), "name": name})


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (GATConfig(num_layers=10**6), "'num_layers' must be at most 10000"),
        (GATConfig(hidden_channels=2**20), "'hidden_channels' must be at most 65536"),
        (GATConfig(out_heads=10**6), "'out_heads' must be at most 1024"),
        (MLPConfig(num_layers=10**12), "'num_layers' must be at most 10000"),
        (AEROGNNConfig(num_steps=10**6), "'num_steps' must be at most 10000"),
    ],
)
def test_an_absurd_network_is_an_error(model: ModelConfig, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Experiment("toy", model)
