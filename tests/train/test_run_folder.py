from __future__ import annotations

import errno
import os
import pickle
import resource
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphattn._core.files import temporary_name
from graphattn.train import Report, RunFolder


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let every write beyond so many bytes fail half-way; pytest's own log is a file, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that this process may read but not write, even when the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield Path(name)
        os.seteuid(user)
        os.chmod(name, 0o755)


REPORT = Report(
    name="toy",
    seed=0,
    split="",
    metric="accuracy",
    best_epoch=1,
    epochs=2,
    train_loss=0.1,
    train_metric=0.9,
    val_loss=0.2,
    val_metric=0.8,
    test_loss=0.3,
    test_metric=0.7,
    seconds=1.0,
    parameters=3,
    device="cpu",
)


def files(run: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.path.iterdir()}


def test_is_named_by_time_and_seed(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs", "gat/cora", 3)
    assert run.path.parent == tmp_path / "runs" / "gat" / "cora"
    assert files(run) == {}
    time, seed = run.path.name.rsplit("-", 1)
    assert seed == "seed3"
    assert len(time) == len("20260101-120000Z")
    written = datetime.strptime(time, "%Y%m%d-%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - written) < timedelta(seconds=60)


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path, "toy", 0) for _ in range(20)]
    assert len({run.path for run in runs}) == 20


@pytest.mark.parametrize("name", ["", ".", "/toy", "../toy", "gat/../../toy"])
def test_a_name_that_leads_elsewhere_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="'name' must be a relative path below 'root', got"):
        RunFolder.create(tmp_path / "runs", name, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 2**32, "0/../../toy", None, True])
def test_a_seed_that_is_none_is_an_error(tmp_path: Path, seed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="'seed' must be"):
        RunFolder.create(tmp_path / "runs", "toy", seed)
    assert list(tmp_path.iterdir()) == []


def test_appears_with_its_config(tmp_path: Path) -> None:
    folders = [RunFolder.create(tmp_path, "toy", 0, config={"a": k}) for k in range(12)]
    assert [folder.read_config() for folder in folders] == [{"a": k} for k in range(12)]
    assert len(list((tmp_path / "toy").iterdir())) == 12
    for folder in folders:
        assert stat.S_IMODE(folder.path.stat().st_mode) == stat.S_IMODE(
            tmp_path.stat().st_mode | 0o55
        )


def test_a_config_that_can_not_be_written_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'config'"):
        RunFolder.create(tmp_path, "toy", 0, config={"a": object()})
    with pytest.raises(OSError, match="the disk may be full"), full_disk(10):
        RunFolder.create(tmp_path, "toy", 0, config={"a": "x" * 9000})
    assert list((tmp_path / "toy").iterdir()) == []


def test_folders_that_a_killed_process_left_go_after_an_hour(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    old, new, other = (
        tmp_path / "toy" / name
        for name in (temporary_name("run"), temporary_name("run"), "20200101-000000-seed0")
    )
    for folder in (old, new, other):
        folder.mkdir()
    for folder in (old, other):
        os.utime(folder, (0, 0))
    made = RunFolder.create(tmp_path, "toy", 0)
    assert set((tmp_path / "toy").iterdir()) == {made.path, new, other}


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'path' must be an existing run folder, got .*nothing"):
        RunFolder(tmp_path / "nothing")


def test_a_read_only_root_is_an_error_that_names_it(read_only: Path) -> None:
    with pytest.raises(PermissionError, match=f"can't write {read_only}/toy; .*read-only"):
        RunFolder.create(read_only, "toy", 0)
    assert list(read_only.iterdir()) == []


def test_a_file_in_place_of_the_root_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(OSError, match=r"can't write .*/runs/toy"):
        RunFolder.create(tmp_path / "runs", "toy", 0)


WRITERS: dict[str, Callable[[RunFolder], None]] = {
    "config.yaml": lambda run: run.write_config({"text": "x" * 9000}),
    "environment.json": lambda run: run.write_environment({"text": "x" * 9000}),
    "metrics.csv": lambda run: run.write_metrics(("loss",), [(1.0,)] * 9000),
    "model.safetensors": lambda run: run.write_weights({"w": torch.zeros(9000)}),
    "resume.pt": lambda run: run.write_resume({"w": torch.zeros(9000)}),
    "report.json": lambda run: run.write_report(replace(REPORT, name="x" * 9000)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_folder_is_an_error_that_names_the_file(name: str, read_only: Path) -> None:
    with pytest.raises(
        PermissionError, match=f"can't write {read_only}/{name}; .*read-only"
    ) as info:
        WRITERS[name](RunFolder(read_only))
    assert info.value.errno == errno.EACCES
    assert list(read_only.iterdir()) == []


@pytest.mark.parametrize("before", [None, b"what was there before"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_an_error_and_leaves_what_was_there(
    name: str, before: bytes | None, run: RunFolder
) -> None:
    if before is not None:
        (run.path / name).write_bytes(before)
    message = f"can't write .*/{name}; the disk may be full"
    with pytest.raises(OSError, match=message), full_disk(4096):
        WRITERS[name](run)
    assert files(run) == ({} if before is None else {name: before})


def test_config_reads_back_exactly(run: RunFolder) -> None:
    config = {
        "recipe": "gat/cora",
        "train": {"lr": 0.1 + 0.2, "weight_decay": 1e-5, "max_epochs": 10, "compile": False},
        "seeds": [1, 2],
        "precision": "32-true",
        "odd": ["yes", "1e-5", "null", "", "ä", None],
    }
    run.write_config(config)
    assert run.read_config() == config
    assert list(run.read_config()) == list(config)


@pytest.mark.parametrize("value", [torch.tensor(1.0), Path("a"), (1, 2)])
def test_config_takes_plain_values_only(run: RunFolder, value: object) -> None:
    with pytest.raises(ValueError, match="'config' "):
        run.write_config({"a": value})
    assert files(run) == {}


@pytest.mark.parametrize("text", ["a: [1", "- a", "!!python/object/apply:os.system ['true']"])
def test_a_config_that_is_no_mapping_is_an_error(run: RunFolder, text: str) -> None:
    run.config_path.write_text(text)
    with pytest.raises(
        ValueError, match=r"config\.yaml.*(no valid YAML|must hold a mapping|plain)"
    ):
        run.read_config()


@pytest.mark.parametrize("name", ["config.yaml", "resume.pt", "report.json", "model.safetensors"])
def test_a_pipe_in_place_of_a_file_does_not_hang(run: RunFolder, name: str) -> None:
    os.mkfifo(run.path / name)
    readers = {
        "config.yaml": run.read_config,
        "resume.pt": run.read_resume,
        "report.json": run.read_report,
        "model.safetensors": lambda: run.load_weights(nn.Linear(2, 1)),
    }
    with pytest.raises(ValueError, match=f"{name} must be a regular file"):
        readers[name]()


def test_large_files_are_an_error(run: RunFolder) -> None:
    for path, read in ((run.config_path, run.read_config), (run.report_path, run.read_report)):
        path.write_bytes(b" " * (2**20 + 1))
        with pytest.raises(ValueError, match="must have at most"):
            read()


def test_a_shared_list_is_no_alias(run: RunFolder) -> None:
    shared = [1, 2]
    run.write_config({"a": shared, "b": shared})
    assert run.read_config() == {"a": [1, 2], "b": [1, 2]}


def test_leftovers_are_removed(run: RunFolder) -> None:
    run.write_config({})
    (run.path / temporary_name("resume.pt")).write_bytes(b"half")
    assert not run.is_empty
    run.config_path.unlink()
    assert run.is_empty
    run.remove_leftovers()
    assert files(run) == {}


def test_metrics_read_back_exactly(run: RunFolder) -> None:
    rows = [(1 / 3, 1e-9), (0.1 + 0.2, 5e300)]
    run.write_metrics(("a", "b"), rows)
    header, *lines = run.metrics_path.read_text().splitlines()
    assert header == "epoch,a,b"
    assert [tuple(map(float, line.split(",")[1:])) for line in lines] == rows
    assert [line.split(",")[0] for line in lines] == ["1", "2"]


def test_weights_reach_a_model(run: RunFolder, weights: dict[str, Tensor]) -> None:
    run.write_weights(weights)
    model = nn.Linear(2, 1)
    run.load_weights(model)
    assert torch.equal(model.weight, weights["weight"])
    assert torch.equal(model.bias, weights["bias"])


def test_broken_or_foreign_weights_leave_the_model_alone(
    run: RunFolder, weights: dict[str, Tensor]
) -> None:
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone()
    run.write_weights({**weights, "bias": torch.zeros(2)})
    with pytest.raises(
        ValueError, match=r"model\.safetensors holds weights of another.*'bias' is \[2\]"
    ):
        run.load_weights(model)
    run.weights_path.write_bytes(run.weights_path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated"):
        run.load_weights(model)
    assert torch.equal(model.weight, before)


def test_a_checkpoint_reads_back(run: RunFolder) -> None:
    run.write_resume({"epoch": 3, "model": {"w": torch.ones(2)}})
    state = run.read_resume()
    assert state["epoch"] == 3
    assert torch.equal(state["model"]["w"], torch.ones(2))


class Attack:
    """Would make a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))]
)
def test_code_in_a_checkpoint_is_never_executed(
    run: RunFolder, tmp_path: Path, save: Callable[[object, Path], object]
) -> None:
    save({"format": 1, "epoch": Attack(tmp_path / "executed")}, run.resume_path)
    with pytest.raises(ValueError, match=r"resume\.pt .*nothing in it was executed"):
        run.read_resume()
    assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(Attack(tmp_path / "executed")))
    assert (tmp_path / "executed").exists(), "the attack itself must work"


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_checkpoint_is_an_error(run: RunFolder, kept: int) -> None:
    run.write_resume({"model": torch.zeros(100)})
    run.resume_path.write_bytes(run.resume_path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"resume\.pt is truncated or no checkpoint"):
        run.read_resume()


@pytest.mark.parametrize("value", [[1], {"format": 99}, {}])
def test_a_checkpoint_of_another_format_is_an_error(run: RunFolder, value: object) -> None:
    torch.save(value, run.resume_path)
    with pytest.raises(ValueError, match="must be a checkpoint of format 1"):
        run.read_resume()


def test_a_report_reads_back_and_finishes_the_run(run: RunFolder) -> None:
    assert not run.finished
    run.write_report(REPORT)
    assert run.read_report() == REPORT
    assert run.finished
    assert run.started


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1', "\xff"])
def test_a_broken_report_is_an_error(run: RunFolder, text: str) -> None:
    run.report_path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"report\.json is no report"):
        run.read_report()


def test_a_config_alone_is_no_start(run: RunFolder) -> None:
    run.write_config({})
    run.write_environment({})
    assert not run.started
    run.write_metrics(("loss",), [])
    assert run.started
