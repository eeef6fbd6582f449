from __future__ import annotations

import errno
import logging
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from graphattn.train import RunFolder, TrainConfig, evaluate, fit
from graphattn.train.stopping import EarlyStopping

MakeModel = Callable[[], nn.Module]
SHORT = TrainConfig(max_epochs=20, patience=20, lr=0.02)


def rows(run: RunFolder) -> list[list[float]]:
    _, *lines = run.metrics_path.read_text().splitlines()
    return [[float(value) for value in line.split(",")] for line in lines]


def quiet(model: nn.Module, data: Data, config: TrainConfig = SHORT, **rest: Any) -> Any:
    return fit(model, data, config, progress=False, **rest)


class Spy(nn.Module):
    """A linear model that remembers what it was called with and under which circumstances."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(8, 3)
        self.calls: list[dict[str, Any]] = []

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        self.calls.append(
            {
                "layout": x.layout,
                "training": self.training,
                "gradients": torch.is_grad_enabled(),
                "autocast": torch.is_autocast_enabled("cpu"),
                "deterministic": torch.are_deterministic_algorithms_enabled(),
                "edge_attr": edge_attr,
            }
        )
        weight = self.linear.weight.to(x.dtype) if x.is_sparse_csr else self.linear.weight
        return x @ weight.t() + self.linear.bias


def test_learns(graph: Data, make_model: MakeModel) -> None:
    report = quiet(make_model(), graph, TrainConfig(max_epochs=100, lr=0.02))
    assert report.val_metric > 0.8
    assert report.test_metric > 0.6
    assert report.metric == "accuracy"
    assert report.name == "GCN"
    assert report.parameters == 8 * 16 + 16 + 16 * 3 + 3
    assert report.device == "cpu"
    assert report.seconds > 0


def test_the_report_is_that_of_the_weights_left_in_the_model(
    graph: Data, make_model: MakeModel
) -> None:
    model = make_model()
    report = quiet(model, graph)
    values = report.to_dict()
    scores = evaluate(model, graph)
    assert scores == {key: (values | values["metrics"])[key] for key in scores}


def test_the_epoch_is_selected_by_the_rule(
    graph: Data, make_model: MakeModel, run: RunFolder
) -> None:
    config = TrainConfig(max_epochs=400, patience=15, lr=0.05)
    report = quiet(make_model(), graph, config, run=run)
    stopping = EarlyStopping("loss_and_metric", 15)
    written = rows(run)
    for epoch, _, loss, metric in written:
        assert not stopping.stop
        stopping.update(int(epoch), loss=loss, metric=metric)
    assert stopping.stop
    assert report.epochs == len(written) < 400
    assert report.best_epoch == stopping.best_epoch < report.epochs
    _, _, loss, metric = written[report.best_epoch - 1]
    assert report.val_metric == metric
    assert report.val_loss == pytest.approx(loss)


def test_the_seed_decides(graph: Data, make_model: MakeModel) -> None:
    first, again = (quiet(make_model(), graph, seed=3).numbers() for _ in range(2))
    other = quiet(make_model(), graph, seed=4).numbers()
    assert first == again
    assert first["train_loss"] != other["train_loss"]
    assert (first["seed"], other["seed"]) == (3, 4)


def test_labels_and_features_of_test_nodes_play_no_part_in_selection(
    graph: Data, make_model: MakeModel
) -> None:
    report = quiet(make_model(), graph).numbers()
    graph.y[graph.test_mask] = (graph.y[graph.test_mask] + 1) % 3
    changed = quiet(make_model(), graph).numbers()
    differing = {key for key in report if report[key] != changed[key]}
    assert differing == {"test_loss", "test_metric", "metrics"}
    metrics = report["metrics"]
    differing = {key for key in metrics if metrics[key] != changed["metrics"][key]}
    assert differing == {f"test_{name}" for name in ("accuracy", "micro_f1", "macro_f1")}


def test_trains_in_training_mode_and_looks_once_an_epoch_without_gradients(graph: Data) -> None:
    model = Spy()
    quiet(model, graph, TrainConfig(max_epochs=3))
    modes = [(call["training"], call["gradients"]) for call in model.calls]
    train, look = (True, True), (False, False)
    # One look before the first epoch shows whether the model fits; one at the end gives the report.
    assert modes == [look, train, look, train, look, train, look, look]


def test_l2_shrinks_the_weights(graph: Data, make_model: MakeModel) -> None:
    norms = []
    for l2 in (0.0, 0.1):
        model = make_model()
        quiet(
            model, graph, TrainConfig(max_epochs=50, patience=50, l2=l2, weight_decay=0.0, lr=0.02)
        )
        norms.append(sum(p.square().sum().item() for p in model.parameters()))
    assert norms[1] < 0.5 * norms[0]


def test_the_data_are_left_alone(graph: Data, make_model: MakeModel, moved: list[Data]) -> None:
    before = dict(graph.to_dict())
    quiet(make_model(), graph, batches=[graph])
    assert all(graph[key] is value for key, value in before.items())
    assert set(graph.to_dict()) == set(before)
    assert moved
    assert all(other is not graph for other in moved)


# Inputs


def test_sparse_features_stay_sparse(graph: Data) -> None:
    dense, sparse = Spy(), Spy()
    report = quiet(dense, graph)
    graph.x = graph.x.to_sparse_csr()
    sparse_report = quiet(sparse, graph)
    assert {call["layout"] for call in sparse.calls} == {torch.sparse_csr}
    assert sparse_report.test_loss == pytest.approx(report.test_loss, rel=1e-4)


def test_edge_attributes_reach_the_model(graph: Data) -> None:
    graph.edge_attr = torch.rand(graph.num_edges, 2)
    model = Spy()
    quiet(model, graph, TrainConfig(max_epochs=1))
    assert all(torch.equal(call["edge_attr"], graph.edge_attr) for call in model.calls)


def test_tasks_are_trained(graph: Data) -> None:
    graph.y = torch.nn.functional.one_hot(graph.y).float()
    report = quiet(Spy(), graph, TrainConfig(max_epochs=60, lr=0.05))
    assert report.metric == "roc_auc"
    assert report.test_metric > 0.65
    assert report.task == "node multilabel"


def test_a_lazy_model_is_initialised(graph: Data) -> None:
    model = GCN(-1, 16, num_layers=2, out_channels=3)
    assert quiet(model, graph).parameters == 8 * 16 + 16 + 16 * 3 + 3


def test_bad_data_are_found_before_the_model_is_called(graph: Data, run: RunFolder) -> None:
    model = Spy()
    graph.edge_index[0, 0] = 120
    with pytest.raises(ValueError, match=r"edge_index.*120"):
        quiet(model, graph, run=run)
    assert model.calls == []
    assert list(run.path.iterdir()) == []


def test_masks_of_several_splits_are_an_error(graph: Data) -> None:
    for split in ("train", "val", "test"):
        graph[f"{split}_mask"] = graph[f"{split}_mask"].view(-1, 1).repeat(1, 2)
    with pytest.raises(ValueError, match=r"one split \[N\], got \[120, 2\]; .*select_split"):
        quiet(Spy(), graph)


def test_an_error_of_the_model_comes_out_untouched_and_nothing_is_written(
    graph: Data, run: RunFolder
) -> None:
    error = ValueError("'x' must have 9 features, got 8")

    class Picky(Spy):
        def forward(self, *_: Any, **__: Any) -> Tensor:
            raise error

    with pytest.raises(ValueError, match="'x' must have 9 features, got 8") as info:
        quiet(Picky(), graph, run=run)
    assert info.value is error
    assert list(run.path.iterdir()) == []


@pytest.mark.parametrize("width", [1, 2])
def test_too_few_outputs_are_an_error(graph: Data, width: int) -> None:
    model = GCN(8, 4, num_layers=1, out_channels=width)
    with pytest.raises(
        ValueError, match=rf"'model' must give \[120, 3\] or wider.*\[120, {width}\]"
    ):
        quiet(model, graph)


@pytest.mark.parametrize("width", [2, 4])
def test_outputs_that_do_not_fit_the_tasks_are_an_error(graph: Data, width: int) -> None:
    graph.y = torch.nn.functional.one_hot(graph.y).float()
    model = GCN(8, 4, num_layers=1, out_channels=width)
    with pytest.raises(ValueError, match=rf"'model' must give \[120, 3\] for .*\[120, {width}\]"):
        quiet(model, graph)


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_epoch(
    graph: Data, run: RunFolder
) -> None:
    class Breaks(Spy):
        def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
            out = super().forward(x, edge_index)
            return out * float("nan") if sum(c["training"] for c in self.calls) == 3 else out

    config = TrainConfig(checkpoint_seconds=0.0)
    with pytest.raises(FloatingPointError, match="train_loss is nan in epoch 3"):
        quiet(Breaks(), graph, config, run=run)
    assert len(rows(run)) == 2
    assert not run.finished


# Batches


def test_the_whole_graph_is_the_default_batch(graph: Data, make_model: MakeModel) -> None:
    assert (
        quiet(make_model(), graph).numbers()
        == quiet(make_model(), graph, batches=[graph]).numbers()
    )


def test_loaders_are_told_the_epoch(graph: Data, make_model: MakeModel, run: RunFolder) -> None:
    class Told(list[Data]):
        epochs: ClassVar[list[int]] = []

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    quiet(make_model(), graph, TrainConfig(max_epochs=3), batches=Told([graph]), run=run)
    config = TrainConfig(max_epochs=3)
    assert Told.epochs == [0, 1, 2]
    (run.path / "report.json").unlink()
    run.resume_path.unlink()
    quiet(make_model(), graph, config, batches=Told([graph]), run=run, resume=True)
    assert Told.epochs == [0, 1, 2, 0, 1, 2]


def test_several_batches_make_an_epoch(graph: Data, make_model: MakeModel, run: RunFolder) -> None:
    """With a learning rate near zero the mean over batches is the loss of the whole graph."""
    halves = []
    for part in graph.train_mask.nonzero().view(-1).tensor_split([7]):
        half = graph.clone()
        half.train_mask = torch.zeros_like(graph.train_mask)
        half.train_mask[part] = True
        halves.append(half)
    none = graph.clone()
    none.train_mask = torch.zeros_like(graph.train_mask)

    model = Spy()
    expected = evaluate(model, graph)["train_loss"]
    config = TrainConfig(max_epochs=2, lr=1e-12)
    quiet(model, graph, config, batches=[*halves, none], run=run)
    assert rows(run)[0][1] == pytest.approx(expected, rel=1e-5)
    assert rows(run)[1][1] == pytest.approx(expected, rel=1e-5)


def test_an_iterator_that_is_used_up_is_an_error(graph: Data) -> None:
    with pytest.raises(
        ValueError, match=r"'batches' gave no training example in epoch 2; .*loader"
    ):
        quiet(Spy(), graph, batches=iter([graph]))


# Settings


def test_deterministic_mode_holds_during_the_run_only(graph: Data) -> None:
    model = Spy()
    quiet(model, graph, TrainConfig(max_epochs=1, deterministic=True))
    assert all(call["deterministic"] for call in model.calls)
    assert not torch.are_deterministic_algorithms_enabled()


def test_bf16_computes_in_autocast_and_keeps_weights_in_float32(graph: Data) -> None:
    model = Spy()
    config = TrainConfig(max_epochs=30, precision="bf16-mixed", accelerator="cpu", lr=0.05)
    report = quiet(model, graph, config)
    assert all(call["autocast"] for call in model.calls)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert report.val_metric > 0.5


def test_compile_is_asked_for(graph: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    real = torch.compile

    def spy(model: nn.Module, **kwargs: Any) -> Any:
        compiled.append(model)
        return real(model, backend="eager")

    monkeypatch.setattr(torch, "compile", spy)
    model = GCN(8, 4, num_layers=1, out_channels=3)
    first = quiet(model, graph, TrainConfig(max_epochs=2))
    assert compiled == []
    quiet(model, graph, TrainConfig(max_epochs=2, compile=True))
    assert compiled[0] is model
    assert first.epochs == 2


def test_says_where_it_trains(graph: Data, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="graphattn"):
        quiet(Spy(), graph, TrainConfig(max_epochs=1))
    assert "training on cpu" in caplog.text


def test_the_bar_shows_loss_metric_and_best(
    graph: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(Spy(), graph, TrainConfig(max_epochs=30))
    shown = capsys.readouterr().err
    assert "30/30" in shown
    for word in ("loss ", "val accuracy ", "best ", "(epoch "):
        assert word in shown


def test_is_silent_without_progress(graph: Data, capsys: pytest.CaptureFixture[str]) -> None:
    quiet(Spy(), graph)
    assert capsys.readouterr() == ("", "")


# Run folder


def test_leaves_everything_in_the_run_folder(
    graph: Data, make_model: MakeModel, run: RunFolder
) -> None:
    model = make_model()
    report = quiet(model, graph, run=run, name="toy/graph", split="public")
    assert {path.name for path in run.path.iterdir()} == {
        "environment.json", "metrics.csv", "model.safetensors", "resume.pt", "report.json",
    }  # fmt: skip
    assert run.read_report() == report
    assert (report.name, report.split) == ("toy/graph", "public")
    assert run.metrics_path.read_text().startswith("epoch,train_loss,val_loss,val_metric\n1,")
    assert [row[0] for row in rows(run)] == list(range(1, 21))
    fresh = make_model()
    run.load_weights(fresh)
    assert evaluate(fresh, graph) == evaluate(model, graph)


def test_checkpoints_do_not_change_the_numbers(
    graph: Data, make_model: MakeModel, run: RunFolder
) -> None:
    often = TrainConfig(max_epochs=20, patience=20, lr=0.02, checkpoint_seconds=0.0)
    assert (
        quiet(make_model(), graph, often, run=run).numbers() == quiet(make_model(), graph).numbers()
    )


def test_a_used_folder_is_not_overwritten(graph: Data, run: RunFolder) -> None:
    quiet(Spy(), graph, run=run)
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(ValueError, match=r"'run' holds results already, got .*resume=True"):
        quiet(Spy(), graph, run=run)
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before


def test_resuming_needs_a_folder(graph: Data) -> None:
    with pytest.raises(ValueError, match="'resume' needs a run folder"):
        quiet(Spy(), graph, resume=True)


def test_resuming_a_finished_run_gives_its_report_and_weights(graph: Data, run: RunFolder) -> None:
    first, second = Spy(), Spy()
    report = quiet(first, graph, run=run)
    assert quiet(second, graph, run=run, resume=True) == report
    assert second.calls == []
    assert torch.equal(second.linear.weight, first.linear.weight)


class Interrupting:
    """The whole graph, with Ctrl-C pressed in one epoch."""

    def __init__(self, data: Data, epoch: int, times: int = 1) -> None:
        self.data, self.epoch, self.times, self.now = data, epoch, times, 0

    def __iter__(self) -> Iterator[Data]:
        self.now += 1
        for _ in range(self.times if self.now == self.epoch else 0):
            signal.raise_signal(signal.SIGINT)
        yield self.data


def contents(run: RunFolder) -> tuple[Any, ...]:
    """All of a run that must not depend on interruptions."""
    return (
        run.metrics_path.read_bytes(),
        run.weights_path.read_bytes(),
        run.read_report().numbers(),
    )


@pytest.fixture
def whole(graph: Data, make_model: MakeModel, run: RunFolder) -> tuple[Any, ...]:
    """What a run that was never interrupted leaves."""
    quiet(make_model(), graph, run=run, seed=1)
    return contents(run)


@pytest.mark.parametrize("epoch", [1, 8, 20])
def test_ctrl_c_saves_the_epoch_and_the_rest_comes_out_the_same(
    graph: Data, make_model: MakeModel, whole: tuple[Any, ...], tmp_path: Path, epoch: int
) -> None:
    run = RunFolder.create(tmp_path, "interrupted", 1)
    with pytest.raises(KeyboardInterrupt):
        quiet(make_model(), graph, run=run, seed=1, batches=Interrupting(graph, epoch))
    assert len(rows(run)) == epoch
    assert not run.finished
    quiet(make_model(), graph, run=run, seed=1, resume=True)
    assert contents(run) == whole


def test_many_interruptions_change_nothing(
    graph: Data, make_model: MakeModel, whole: tuple[Any, ...], tmp_path: Path
) -> None:
    run = RunFolder.create(tmp_path, "interrupted", 1)
    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            quiet(make_model(), graph, run=run, seed=1, resume=True, batches=Interrupting(graph, 3))
    quiet(make_model(), graph, run=run, seed=1, resume=True)
    assert contents(run) == whole


def test_a_second_ctrl_c_raises_at_once_and_the_last_checkpoint_counts(
    graph: Data, make_model: MakeModel, whole: tuple[Any, ...], tmp_path: Path
) -> None:
    run = RunFolder.create(tmp_path, "interrupted", 1)
    often = replace(SHORT, checkpoint_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        quiet(make_model(), graph, often, run=run, seed=1, batches=Interrupting(graph, 8, times=2))
    assert len(rows(run)) == 7
    quiet(make_model(), graph, run=run, seed=1, resume=True)
    assert contents(run) == whole


@pytest.mark.parametrize("file", ["metrics", "weights", "resume", "report"])
@pytest.mark.parametrize("at", [1, 5])
def test_a_disk_that_fills_up_at_any_file_loses_nothing(
    graph: Data,
    make_model: MakeModel,
    whole: tuple[Any, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    at: int,
) -> None:
    """The file is not written from the ``at``-th time on; later there is space again."""
    run = RunFolder.create(tmp_path, "full", 1)
    write = getattr(RunFolder, f"write_{file}")
    count = 0

    def full(self: RunFolder, *arguments: Any) -> None:
        nonlocal count
        count += 1
        if count >= at or file == "report":
            raise OSError(errno.ENOSPC, "full")
        write(self, *arguments)

    often = replace(SHORT, checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, f"write_{file}", full)
        with pytest.raises(OSError, match="full"):
            quiet(make_model(), graph, often, run=run, seed=1)
    quiet(make_model(), graph, run=run, seed=1, resume=True)
    assert contents(run) == whole


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0.5), ("max_epochs", 21), ("patience", 3), ("monitor", "loss"), ("l2", 0.1)],
)
def test_a_run_is_not_continued_with_other_settings(
    graph: Data, tmp_path: Path, field: str, value: Any
) -> None:
    run = RunFolder.create(tmp_path, "interrupted", 1)
    with pytest.raises(KeyboardInterrupt):
        quiet(Spy(), graph, run=run, batches=Interrupting(graph, 3))
    then = getattr(SHORT, field)
    with pytest.raises(ValueError, match=f"'{field}' must be {then!r} as when .* got {value!r}"):
        quiet(Spy(), graph, replace(SHORT, **{field: value}), run=run, resume=True)
    with pytest.raises(ValueError, match=r"'seed' must be 0 as when .* got 1"):
        quiet(Spy(), graph, run=run, resume=True, seed=1)
    assert quiet(Spy(), graph, replace(SHORT, checkpoint_seconds=9), run=run, resume=True)


def test_a_run_is_not_continued_with_another_model(
    graph: Data, make_model: MakeModel, run: RunFolder
) -> None:
    with pytest.raises(KeyboardInterrupt):
        quiet(Spy(), graph, run=run, batches=Interrupting(graph, 3))
    with pytest.raises(
        ValueError, match=r"resume\.pt holds weights of another model than this GCN"
    ):
        quiet(make_model(), graph, run=run, resume=True)


@pytest.mark.parametrize("key", ["config", "model", "best", "optimizer", "stopping", "random"])
def test_a_damaged_checkpoint_is_an_error(graph: Data, run: RunFolder, key: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        quiet(Spy(), graph, run=run, batches=Interrupting(graph, 3))
    state = run.read_resume()
    del state["format"], state[key]
    run.write_resume(state)
    with pytest.raises(ValueError, match=rf"resume\.pt is damaged: KeyError\('{key}'\)"):
        quiet(Spy(), graph, run=run, resume=True)


def test_ctrl_c_without_a_folder_raises_at_once(graph: Data) -> None:
    model = Spy()
    with pytest.raises(KeyboardInterrupt):
        quiet(model, graph, batches=Interrupting(graph, 3))
    assert sum(call["training"] for call in model.calls) == 2


# Kill


def test_a_killed_run_ends_with_the_numbers_of_one_never_interrupted(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_run.py")
    run, whole = (RunFolder.create(tmp_path, name, 11) for name in ("killed", "whole"))
    with subprocess.Popen([sys.executable, str(script), str(run.path), "whole", "0.02"]) as process:
        wait_for_epoch(20, run, process)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not run.finished
    assert 20 <= run.read_resume()["epoch"] < 150
    train = runpy.run_path(str(script))["main"]
    for folder in (run, whole):
        train(folder.path, "whole", 0.0)
    assert contents(run) == contents(whole)
    assert len(rows(run)) == 150


def wait_for_epoch(epoch: int, run: RunFolder, process: subprocess.Popen[bytes]) -> None:
    """Wait until a checkpoint of this epoch or a later one is there."""
    deadline = time.monotonic() + 60
    while not (run.resume_path.exists() and run.read_resume()["epoch"] >= epoch):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint after a minute"
        time.sleep(0.01)


def test_features_of_another_dtype(graph: Data, make_model: Callable[[], nn.Module]) -> None:
    graph.x = graph.x.double()
    message = r"'data.x' is torch.float64, but the model.s .* is torch.float32"
    with pytest.raises(ValueError, match=message):
        fit(make_model(), graph, progress=False)
