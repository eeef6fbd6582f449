from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from graphattn.cli.train import default_for, parse_seeds


def run_folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.rglob("config.yaml"))


def test_default_prints_the_comparison(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    done = graphattn("train", "--runs", tmp_path, "--no-progress")
    assert done.status == 0, done.err
    accuracy = {
        line.split()[0]: float(line.split()[1])
        for line in done.out.splitlines()
        if line.strip().startswith(("gat/digits  ", "mlp/digits  "))
    }
    assert accuracy["gat/digits"] > 92 > 90 > accuracy["mlp/digits"] > 82
    assert len(run_folders(tmp_path)) == 2


def test_settings_reach_the_run(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    done = graphattn(
        "train",
        "gatv2",
        "--dataset",
        "digits",
        "--seeds",
        "3,5",
        "--runs",
        tmp_path,
        "--no-progress",
        "--model.heads",
        2,
        "--train.max-epochs",
        3,
        "--data.undirected",
    )
    assert done.status == 0, done.err
    folders = run_folders(tmp_path)
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in folders]
    assert [config["seed"] for config in configs] == [3, 5]
    assert configs[0]["method"] == "gatv2"
    assert configs[0]["model"]["heads"] == 2
    assert configs[0]["train"]["max_epochs"] == 3
    assert configs[0]["data"]["undirected"] is True
    assert json.loads((folders[0] / "report.json").read_text())["epochs"] == 3


def test_a_changed_recipe_is_not_its_row(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    words = ("train", "gat/digits", "--runs", tmp_path, "--no-progress", "--train.max-epochs", 2)
    assert graphattn(*words).status == 0
    (folder,) = run_folders(tmp_path)
    name = json.loads((folder / "report.json").read_text())["name"]
    assert re.fullmatch(r"gat/digits-[0-9a-f]{8}", name)


def test_resume_of_a_finished_run_reports_it(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    words = ("train", "gat", "--runs", tmp_path, "--no-progress", "--train.max-epochs", 2)
    first = graphattn(*words)
    (folder,) = run_folders(tmp_path)
    again = graphattn("train", "--resume", folder, "--no-progress")
    assert again.status == 0
    assert again.out.strip() in first.out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("gat/coral",), "unknown recipe or method 'gat/coral'; did you mean 'gat/cora'"),
        (("gat", "--dataset", "coral"), "unknown data set 'coral'; did you mean 'cora'"),
        (("gat/cora", "--dataset", "citeseer"), "graphattn train gat --dataset citeseer"),
        (("--seeds", "a"), "'seeds' must look like 3, 0-9 or 0,4,7, got 'a'"),
        (("gat", "--model.heads", "5"), "'heads' (5) must divide 'hidden_channels' (64)"),
        (("--resume", "nowhere"), "'path' must be an existing run folder, got 'nowhere'"),
        (("--resume", "nowhere", "--train.lr", "0.5"), "'train' can't be given with 'resume'"),
        (("gat/cora", "--resume", "nowhere"), "'target' can't be given with 'resume'"),
        (("gat", "--data.name", "cora"), "use: graphattn train gat --dataset cora"),
        (("gat", "--model.heads", "0"), "'heads' must be at least 1, got 0"),
        (("gat", "--model.num-layers", "0"), "'num_layers' must be at least 1, got 0"),
        (("gat", "--model.hidden-channels", "0"), "'hidden_channels' must be at least 1, got 0"),
        (("gat", "--model.dropout", "1.5"), "'dropout' must lie in [0, 1], got 1.5"),
        (("gat", "--model.norm", "foo"), "norm"),
        (("mlp", "--model.dropout", "2"), "'dropout' must lie in [0, 1], got 2.0"),
        (("gat", "--train.lr", "nan"), "'lr' must be finite and above 0, got nan"),
        (("--seeds", "²"), "'seeds' must look like"),
        (("--seeds", "5000000000"), "'seeds' must be at most 4294967295"),
        (("--seeds", "0-99999999999"), "'seeds' must fit 32 bits"),
        (("gat", "--model.num-layers", "1000000000"), "'num_layers' must be at most 10000"),
        (("mlp", "--model.hidden-channels", "1000000000"), "'hidden_channels' must be at most"),
        (("gat", "--data.split", "publik"), "unknown split of digits 'publik'"),
    ],
)
def test_bad_input(
    graphattn: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    done = graphattn("train", *words, "--runs", tmp_path, "--no-progress")
    assert done.status == 2
    assert text in " ".join((done.err + done.out).replace("│", " ").split())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("section", "change", "text"),
    [
        ("model", {"headds": 3}, "unknown key of 'model' 'headds'; did you mean 'heads'"),
        ("model", {"heads": "two"}, "'heads' must be a whole number, got 'two'"),
        ("train", {"lr": "fast"}, "'lr' must be a number, got 'fast'"),
        ("data", {"name": 3}, "'name' must be a string, got 3"),
        (None, {"model": None}, "'model' must hold keys and values, got None"),
        (None, {"seed": "abc"}, "'seed' must be a whole number, got 'abc'"),
        (None, {"method": ["gat"]}, "'method' must be a string, got ['gat']"),
    ],
)
def test_damaged_config(
    graphattn: Callable[..., Any],
    tmp_path: Path,
    section: str | None,
    change: dict[str, object],
    text: str,
) -> None:
    words = ("train", "gat", "--runs", tmp_path, "--no-progress", "--train.max-epochs", 2)
    graphattn(*words)
    (folder,) = run_folders(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (config if section is None else config[section]).update(change)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for command in (("train", "--resume", folder), ("eval", folder)):
        done = graphattn(*command)
        assert done.status == 2
        assert text in done.err


HOSTILE = {
    "laughs": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "alias": "seed: &s 0\nname: *s",
    "loop": "model: &m {heads: *m}",
    "whole number": "3: 1",
    "null": "~: 1",
    "list": "? [a]\n: 1",
    "mapping": "? {a: b}\n: 1",
    "deep": "[" * 5000,
    "deep mapping": "{a: " * 5000,
    "digits": "seed: " + "9" * 9999,
    "large": "#" * 2**19,
    "date": "seed: 2001-01-01",
    "no mapping": "- 1",
    "empty": "",
    "bytes": "\x00",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_config_ends_in_one_line(
    graphattn: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    (tmp_path / "config.yaml").write_text(HOSTILE[kind])
    for command in (("train", "--resume", tmp_path), ("eval", tmp_path)):
        done = graphattn(*command)
        assert done.status == 2
        assert done.err.startswith(f"graphattn: {tmp_path}/config.yaml")
        assert done.err.count("\n") == 1


def test_a_pipe_in_place_of_the_config_does_not_hang(
    graphattn: Callable[..., Any], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    done = graphattn("train", "--resume", tmp_path)
    assert done.status == 2
    assert "config.yaml must be a regular file" in done.err


def test_too_many_seeds_are_an_error_at_once() -> None:
    for text, message in (
        ("0-99999999999", "'seeds' must fit 32 bits"),
        ("0-4294967295", "at most 10000 seeds"),
        ("0-9999,0", "at most 10000 seeds"),
        ("4294967296", "'seeds' must be at most 4294967295"),
        ("9" * 9999, "'seeds' must fit 32 bits"),
    ):
        with pytest.raises(ValueError, match=message) as info:
            parse_seeds(text)
        assert len(str(info.value)) < 300
    assert len(parse_seeds("0-9999")) == 10_000
    assert parse_seeds("4294967295") == [4294967295]


def test_seeds() -> None:
    assert parse_seeds("0-2,7") == [0, 1, 2, 7]
    for text in ("", "1-", "-3", "x", "1,,2"):
        with pytest.raises(ValueError, match="'seeds' must"):
            parse_seeds(text)


def test_defaults_are_those_of_the_target() -> None:
    assert default_for(["gat/cora"]).data.name == "cora"
    assert default_for(["mlp", "--dataset=cora"]).data.name == "cora"
    assert default_for(["gatv2", "--dataset", "texas"]).data.name == "texas"
    assert default_for([]).target == default_for(["--seeds", "1"]).target == "gat/digits"


def own_graph(folder: Path, split: bool = False) -> Path:
    """Two rings, one of each class, as two CSV files."""
    folder.mkdir(parents=True)
    part = ["train", "train", "val", "test"]
    rows = [
        f"n{i},{'ab'[i % 2]},{i % 2},1" + (f",{part[i // 2 % 4]}" if split else "")
        for i in range(40)
    ]
    header = "id,label,signal,one" + (",split" if split else "")
    (folder / "nodes.csv").write_text("\n".join([header, *rows]) + "\n")
    edges = [f"n{i},n{(i + 2) % 40}" for i in range(40)]
    (folder / "edges.csv").write_text("\n".join(["source,target", *edges]) + "\n")
    return folder


def test_own_graph_from_files_to_the_table(
    graphattn: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_graph(tmp_path / "here" / "my graph; rm")
    monkeypatch.chdir(tmp_path / "here")
    words = (
        "--seeds",
        "0-1",
        "--no-progress",
        "--train.max-epochs",
        3,
        "--runs",
        tmp_path / "runs",
    )
    split = ("--data.split", "60/20/20-per-class", "--data.undirected")
    done = graphattn("train", "gat", "--dataset", "my graph; rm", *split, *words)
    assert done.status == 0, done.err
    folders = run_folders(tmp_path / "runs")
    assert len(folders) == 2
    (name,) = {folder.parent.name for folder in folders}
    assert re.fullmatch(r"gat-my_graph_rm-[0-9a-f]{6}-[0-9a-f]{8}", name)
    report = json.loads((folders[0] / "report.json").read_text())
    assert (report["name"], report["split"]) == (name, "60/20/20-per-class")
    assert name in graphattn("results", tmp_path / "runs").out
    # From anywhere, the settings find the files again.
    monkeypatch.chdir("/")
    assert graphattn("eval", folders[1]).status == 0
    resumed = graphattn("train", "--resume", folders[1], "--no-progress")
    assert resumed.out.strip() in done.out
    with (tmp_path / "here" / "my graph; rm" / "edges.csv").open("a") as file:
        file.write("n0,n4\n")
    for words in (("eval", folders[1]), ("train", "--resume", folders[1])):
        changed = graphattn(*words)
        (folders[1] / "report.json").unlink(missing_ok=True)
        assert changed.status == 2
        assert "have changed since these settings were made" in changed.err


def test_own_graph_with_its_own_split(
    graphattn: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    from graphattn.data import read_graph

    words = ("--no-progress", "--train.max-epochs", 2, "--runs", tmp_path / "runs")
    torch.save(read_graph(own_graph(tmp_path / "g", split=True)), tmp_path / "g.pt")
    for path in ("g", "g.pt"):
        done = graphattn("train", "gat", "--dataset", tmp_path / path, *words)
        assert done.status == 0, done.err
    assert sum("no edge of this graph has its reverse" in text for text in caplog.messages) == 2
    reports = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("report.json")]
    assert len({report["name"] for report in reports}) == 2
    assert {report["split"] for report in reports} == {"file"}
    assert len({report["val_loss"] for report in reports}) == 1


def test_own_graph_without_a_split(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    done = graphattn("train", "gat", "--dataset", own_graph(tmp_path / "g"), "--runs", tmp_path)
    assert done.status == 2
    assert f"{tmp_path}/g: 'train_mask' is missing" in done.err
    assert "--data.split 60/20/20" in done.err
    assert not run_folders(tmp_path)


@pytest.mark.parametrize("name", ["../..", "...", "\x1b[31m", "ü" * 300, "a/../../b.pt"])
def test_names_of_files_become_names_of_folders(name: str) -> None:
    from graphattn.cli.train import _safe

    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,39}", _safe(name))


def test_sampling_by_flags(graphattn: Callable[..., Any], tmp_path: Path) -> None:
    words = ("train", "gat/digits", "--runs", tmp_path, "--no-progress", "--train.max-epochs", 2)
    sampling = ("--sampling.num-neighbors", 4, 3, "--sampling.batch-size", 30)
    done = graphattn(*words, *sampling, "--train.metric", "macro_f1", "--train.optimizer", "adamw")
    assert done.status == 0, done.err
    (folder,) = run_folders(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["sampling"]["num_neighbors"] == [4, 3]
    assert config["sampling"]["batch_size"] == 30
    report = json.loads((folder / "report.json").read_text())
    assert (report["metric"], report["task"]) == ("macro_f1", "node multiclass")
    assert "test_accuracy" in report["metrics"]
