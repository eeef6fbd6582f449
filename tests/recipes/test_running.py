from __future__ import annotations

import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from graphattn._core.files import is_temporary, temporary_name
from graphattn.recipes import (
    DataConfig,
    Experiment,
    build_model,
    load_data,
    open_run,
    recipe,
    restore,
    resume,
    run,
    running,
    take_split,
)
from graphattn.train import RunFolder, TrainConfig, evaluate
from graphattn.train.report import read_report
from graphattn.train.weights import read_weights


@pytest.fixture
def experiment() -> Experiment:
    return replace(recipe("gat/digits"), name="short", train=TrainConfig(max_epochs=4, lr=0.01))


def test_the_same_seed_gives_the_same_numbers(experiment: Experiment) -> None:
    first, second, other = (run(experiment, s, runs=None, progress=False) for s in (1, 1, 2))
    assert first.numbers() == second.numbers()
    assert first.test_loss != other.test_loss


def test_a_folder_is_enough_to_go_on(experiment: Experiment, tmp_path: Path) -> None:
    report = run(experiment, 3, runs=tmp_path, progress=False)
    (folder,) = (path.parent for path in tmp_path.rglob("config.yaml"))
    opened = open_run(folder)
    assert (opened.experiment.model, opened.experiment.train, opened.seed) == (
        experiment.model,
        experiment.train,
        3,
    )
    assert resume(folder, progress=False).numbers() == report.numbers()
    (folder / "report.json").unlink()
    assert resume(folder, progress=False).numbers() == report.numbers()


def test_small_graphs_train_on_one_thread(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(running, "fit", lambda *_, **__: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(experiment, 0, runs=None)
        monkeypatch.setattr(running, "_EDGES_FOR_THREADS", 10)
        run(experiment, 0, runs=None)
        assert seen == [1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_fails_before_it_begins_leaves_nothing(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such model")

    monkeypatch.setattr(running, "build_model", fail)
    with pytest.raises(ValueError, match="no such model"):
        run(experiment, 0, runs=tmp_path, progress=False)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_config_without_seed(experiment: Experiment, tmp_path: Path) -> None:
    run(experiment, 0, runs=tmp_path, progress=False)
    (path,) = tmp_path.rglob("config.yaml")
    path.write_text(path.read_text().replace("seed:", "sead:"))
    with pytest.raises(ValueError, match="lacks 'seed'"):
        open_run(path.parent)


def test_preparation_of_the_data(data_root: Path) -> None:
    config = recipe("gat/texas").data
    data = load_data(config, root=data_root)
    assert data.x.layout == torch.sparse_csr
    assert data.is_undirected()
    sums = data.x.to_dense().sum(1)
    torch.testing.assert_close(sums[sums > 0], torch.ones(int((sums > 0).sum())))
    plain = load_data(DataConfig("texas"), root=data_root)
    assert plain.x.layout == torch.strided
    assert plain.num_edges == 325


def test_one_self_loop_per_node(data_root: Path) -> None:
    # Wisconsin as it comes has self-loops at some nodes.
    raw = load_data(DataConfig("wisconsin", undirected=True), root=data_root)
    data = load_data(DataConfig("wisconsin", undirected=True, self_loops=True), root=data_root)
    loops = data.edge_index[0][data.edge_index[0] == data.edge_index[1]]
    assert loops.sort().values.tolist() == list(range(data.num_nodes))
    raw_loops = int((raw.edge_index[0] == raw.edge_index[1]).sum())
    assert data.num_edges == raw.num_edges - raw_loops + data.num_nodes
    assert 0 < raw_loops < data.num_nodes


def test_seeds_go_round_the_splits(data_root: Path) -> None:
    data = load_data(DataConfig("texas"), root=data_root)
    split, index = take_split(data, 13)
    assert index == "[3]"
    assert torch.equal(split.train_mask, data.train_mask[:, 3])
    assert take_split(load_data(DataConfig("digits")), 13)[1] == ""


@pytest.fixture
def finished(experiment: Experiment, tmp_path: Path) -> Path:
    run(experiment, 3, runs=tmp_path / "runs", progress=False)
    (config,) = tmp_path.rglob("config.yaml")
    return config.parent


def test_restores_model_data_and_settings(experiment: Experiment, finished: Path) -> None:
    torch.manual_seed(5)
    random.seed(5)
    before, also_before = torch.get_rng_state(), random.getstate()
    restored = restore(finished)
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == also_before
    assert (restored.seed, restored.folder.path) == (3, finished)
    assert restored.experiment.to_dict() == experiment.to_dict()
    assert not restored.model.training
    weights = read_weights(restored.folder.weights_path)
    assert restored.model.state_dict().keys() == weights.keys()
    assert all(torch.equal(weights[k], v) for k, v in restored.model.state_dict().items())
    assert restored.task.name == "node multiclass"
    scores = evaluate(restored.model, restored.data, task=restored.task)
    report = restored.folder.read_report()
    assert scores["test_metric"] == report.test_metric
    assert scores["test_loss"] == pytest.approx(report.test_loss)
    again = restore(RunFolder(finished))
    assert torch.equal(again.data.x, restored.data.x)


def test_restores_the_split_of_the_seed(data_root: Path, tmp_path: Path) -> None:
    experiment = replace(recipe("gat/texas"), train=TrainConfig(max_epochs=2))
    run(experiment, 13, runs=tmp_path, root=data_root, progress=False)
    (config,) = tmp_path.rglob("config.yaml")
    restored = restore(config.parent, root=data_root)
    masks = load_data(experiment.data, root=data_root).train_mask
    assert torch.equal(restored.data.train_mask, masks[:, 3])
    with pytest.raises(FileNotFoundError, match=r"'texas' is not complete in .*another 'root'"):
        restore(config.parent, root=tmp_path / "elsewhere", offline=True)


def test_what_can_t_be_restored(finished: Path) -> None:
    runs = finished.parents[1]
    with pytest.raises(
        ValueError, match=rf"is no run folder.* below it: {re.escape(str(finished))}"
    ):
        restore(runs)
    with pytest.raises(ValueError, match="must be an existing run folder"):
        restore(runs / "nowhere")
    weights = (finished / "model.safetensors").read_bytes()
    (finished / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(ValueError, match="truncated"):
        restore(finished)
    (finished / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has a report, but no model\.safetensors"):
        restore(finished)
    (finished / "model.safetensors").write_bytes(weights)
    config = (finished / "config.yaml").read_text()
    (finished / "config.yaml").write_text(config.replace("heads: 8", "heads: 4"))
    with pytest.raises(ValueError, match="holds weights of another model"):
        restore(finished)
    (finished / "config.yaml").write_text(config)
    (finished / "report.json").unlink()
    moved = finished.rename(finished.with_name("a run"))
    with pytest.raises(ValueError, match=r"not finished; .* graphattn train --resume '.*a run'"):
        restore(moved)
    assert resume(moved, progress=False).seed == 3
    assert restore(moved).seed == 3


FIXTURES = Path(__file__).parent / "fixtures"


def test_a_run_of_the_first_version_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(FIXTURES / "run_0.1.0", folder)
    begun = (folder / "metrics.csv").read_text().splitlines()
    expected = read_report(FIXTURES / "run_0.1.0.report.json")
    report = resume(folder, progress=False)
    assert (report.name, report.seed, report.epochs) == ("gat-digits-21dc91", 4, 24)
    assert (folder / "metrics.csv").read_text().splitlines()[1 : len(begun)] == begun[1:]
    assert report.parameters == expected.parameters
    # Kernels and machines differ in the last bits, which 16 epochs of training spread.
    assert report.test_loss == pytest.approx(expected.test_loss, rel=0.02)
    assert report.test_metric == pytest.approx(expected.test_metric, abs=0.03)
    assert resume(folder, progress=False) == report


def test_settings_that_an_older_version_did_not_know_take_their_defaults(
    experiment: Experiment, tmp_path: Path
) -> None:
    run(experiment, 0, runs=tmp_path, progress=False)
    (path,) = tmp_path.rglob("config.yaml")
    folder = RunFolder(path.parent)
    config = folder.read_config()
    for section, name in (("model", "jk"), ("data", "self_loops"), ("train", "l2")):
        del config[section][name]
    folder.write_config(config)
    state = folder.read_resume()
    del state["config"]["l2"], state["config"]["deterministic"]
    folder.write_resume(state)
    folder.report_path.unlink()
    opened = open_run(folder.path).experiment
    assert (opened.model, opened.data, opened.train) == (
        experiment.model,
        experiment.data,
        experiment.train,
    )
    resume(folder.path, progress=False)


def test_a_folder_has_its_config_from_the_first_moment(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any rename, a run leaves a folder to go on with, or none."""
    seen: list[list[str]] = []

    def fit(*_: object, run: RunFolder, **__: object) -> None:
        seen.append([path.name for path in run.path.iterdir()])

    monkeypatch.setattr(running, "fit", fit)
    run(experiment, 0, runs=tmp_path, progress=False)
    assert seen == [["config.yaml"]]

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(Path, "rename", die)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # a killed process tidies nothing
    with pytest.raises(SystemExit):
        run(experiment, 1, runs=tmp_path, progress=False)
    names = {path.name for path in (tmp_path / "short").iterdir()}
    assert len([name for name in names if not is_temporary(name)]) == 1


def test_a_folder_without_config_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a run that ended before it began.*start a new run"):
        open_run(tmp_path)
    (tmp_path / "photo.jpg").write_text("")
    with pytest.raises(ValueError, match=r"is no run folder: it has no config\.yaml"):
        open_run(tmp_path)


def test_leftovers_of_a_killed_process_go_with_the_resume(
    experiment: Experiment, tmp_path: Path
) -> None:
    run(experiment, 0, runs=tmp_path, progress=False)
    (path,) = tmp_path.rglob("config.yaml")
    (path.parent / "report.json").unlink()
    left = path.parent / temporary_name("resume.pt")
    left.write_bytes(b"half")
    resume(path.parent, progress=False)
    assert not left.exists()


@pytest.mark.parametrize(
    ("section", "change", "text"),
    [
        (None, {"name": "../victim"}, "'name' must be a relative path"),
        (None, {"name": "/victim"}, "'name' must be a relative path"),
        (None, {"name": "a\x1b[2J"}, "'name' must have no control characters"),
        (None, {"name": None}, "'name' must be a string, got None"),
        (None, {"name": ["a"]}, "'name' must be a string"),
        (None, {"seed": -1}, "'seed' must be at least 0"),
        (None, {"seed": 2**40}, "'seed' must be at most 4294967295"),
        (None, {"seed": "0/../../victim"}, "'seed' must be a whole number"),
        (None, {"seed": [0]}, "'seed' must be a whole number"),
        (None, {"sead": 1}, "unknown key of a config 'sead'"),
        (None, {"method": {"a": 1}}, "'method' must be a string"),
        (None, {"data": []}, "'data' must hold keys and values"),
        ("model", {"num_layers": 10**9}, "'num_layers' must be at most 10000"),
        ("model", {"num_layers": None}, "'num_layers' must be a whole number"),
        ("model", {"num_layers": [2]}, "'num_layers' must be a whole number"),
        ("model", {"hidden_channels": 10**9}, "'hidden_channels' must be at most 65536"),
        ("model", {"heads": 10**9}, "'heads'"),
        ("model", {"out_heads": 10**9}, "'out_heads' must be at most 1024"),
        ("model", {"dropout": {"a": 1}}, "'dropout' must be a number"),
        ("model", {"norm": ["layer_norm"]}, "'norm' must be one of"),
        ("train", {"max_epochs": 2**64 - 1}, "'max_epochs' must be at most"),
        ("train", {"lr": float("nan")}, "'lr' must be finite"),
        ("train", {"weight_decays": 3}, "'weight_decays' must be pairs"),
        ("train", {"monitor": ["loss"]}, "'monitor' must be one of"),
        ("data", {"name": None}, "'name' must be a string"),
        ("data", {"self_loops": "yes"}, "'self_loops' must be True or False"),
    ],
)
def test_hostile_settings_are_an_error_that_names_them(
    experiment: Experiment,
    tmp_path: Path,
    section: str | None,
    change: dict[str, object],
    text: str,
) -> None:
    config = {**experiment.to_dict(), "seed": 0}
    (config if section is None else config[section]).update(change)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=text) as info:
        open_run(tmp_path)
    assert str(info.value).startswith(str(path))
    assert "\n" not in str(info.value)


def test_a_network_beyond_the_memory_is_an_error_before_it_is_made(experiment: Experiment) -> None:
    wide = replace(experiment.model, hidden_channels=2**16, num_layers=2000)
    with pytest.raises(ValueError, match=r"'model' must fit into \d+ GiB of memory, .* takes"):
        build_model(replace(experiment, model=wide), load_data(experiment.data), 0)
