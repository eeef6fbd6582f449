from __future__ import annotations

import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader as GraphLoader

from graphattn.sampling import NeighborLoader
from graphattn.train import RunFolder, TrainConfig, fit
from graphattn.train.checkpoint import Position

CONFIG = TrainConfig(max_epochs=4, patience=9, lr=0.02, checkpoint_seconds=0.0)
MakeModel = Callable[[], nn.Module]


class Stopping:
    """Batches of a loader, with Ctrl-C before one of the first pass."""

    def __init__(self, loader: Any, at: int) -> None:
        self.loader, self.at = loader, at
        self.set_epoch = getattr(loader, "set_epoch", lambda _: None)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            if self.at == 0:
                signal.raise_signal(signal.SIGINT)
            self.at -= 1
            yield batch


def sampled(graph: Data, **settings: Any) -> NeighborLoader:
    return NeighborLoader(
        graph, [3, 3], input_nodes=graph.train_mask, batch_size=8, shuffle=True, seed=4, **settings
    )


def quiet(model: nn.Module, data: Data, config: TrainConfig = CONFIG, **rest: Any) -> Any:
    return fit(model, data, config, progress=False, **rest)


def contents(run: RunFolder) -> tuple[Any, ...]:
    return run.metrics_path.read_bytes(), run.weights_path.read_bytes(), run.read_report().numbers()


def shuffled(graph: Data) -> Any:
    """A loader of torch, which draws its order from the global generator when a pass begins."""
    return GraphLoader([graph.clone() for _ in range(5)], shuffle=True)


@pytest.mark.parametrize("at", [0, 2, 7])
@pytest.mark.parametrize("make_loader", [sampled, shuffled])
def test_an_interrupted_epoch_goes_on_where_it_was(
    graph: Data, make_model: MakeModel, tmp_path: Path, make_loader: Any, at: int
) -> None:
    whole = RunFolder.create(tmp_path, "whole", 0)
    quiet(make_model(), graph, batches=make_loader(graph), run=whole)
    run = RunFolder.create(tmp_path, "cut", 0)
    stopping = Stopping(make_loader(graph), at)
    with pytest.raises(KeyboardInterrupt):
        quiet(make_model(), graph, batches=stopping, run=run)
    position = run.read_resume()["position"]
    assert position["batches"] == (at + 1) % 5
    fit(
        make_model(),
        graph,
        CONFIG,
        batches=make_loader(graph),
        run=run,
        resume=True,
        progress=False,
    )
    assert contents(run) == contents(whole)


def test_a_run_killed_in_mid_epoch_ends_bit_for_bit_like_one_never_interrupted(
    tmp_path: Path,
) -> None:
    script = Path(__file__).with_name("killed_run.py")
    run, whole = (RunFolder.create(tmp_path, name, 11) for name in ("killed", "whole"))
    with subprocess.Popen(
        [sys.executable, str(script), str(run.path), "sampled", "0.02"]
    ) as process:
        wait_for_mid_epoch(run, process)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not run.finished
    state = run.read_resume()
    assert state["epoch"] >= 2
    assert 0 < state["position"]["batches"] < 8
    train = runpy.run_path(str(script))["main"]
    for folder in (run, whole):
        train(folder.path, "sampled", 0.0)
    assert contents(run) == contents(whole)


def wait_for_mid_epoch(run: RunFolder, process: subprocess.Popen[bytes]) -> None:
    """Wait until the checkpoint is one of the middle of an epoch that is not the first."""
    deadline = time.monotonic() + 60
    while True:
        if run.resume_path.exists():
            state = run.read_resume()
            if state["epoch"] >= 2 and 2 < state.get("position", {}).get("batches", 0) < 6:
                return
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint after a minute"
        time.sleep(0.005)


def test_a_checkpoint_of_a_version_with_fewer_settings_is_continued(
    graph: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    whole, run = (RunFolder.create(tmp_path, name, 0) for name in ("whole", "old"))
    quiet(make_model(), graph, run=whole)
    with pytest.raises(KeyboardInterrupt):
        quiet(make_model(), graph, batches=Stopping([graph], 0), run=run)
    state = run.read_resume()
    for name in ("optimizer", "momentum", "schedule", "task", "metric", "eval_every", "clip_norm"):
        del state["config"][name]
    del state["format"]
    run.write_resume(state)
    quiet(make_model(), graph, run=run, resume=True)
    assert contents(run) == contents(whole)
    run.report_path.unlink()
    config = replace(CONFIG, optimizer="adamw")
    with pytest.raises(ValueError, match=r"'optimizer' must be 'adam' as when .* got 'adamw'"):
        quiet(make_model(), graph, config, run=run, resume=True)


@pytest.mark.parametrize(
    "position",
    [{"batches": -1}, {"batches": 1.5}, {"total": "1"}, {"total": torch.zeros(2)}, {"other": 1}, 3],
)
def test_a_damaged_position_is_an_error(
    graph: Data, make_model: MakeModel, run: RunFolder, position: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(
            make_model(),
            graph,
            CONFIG,
            batches=Stopping(sampled(graph), 1),
            run=run,
            progress=False,
        )
    state = run.read_resume()
    del state["format"]
    run.write_resume({**state, "position": position})
    with pytest.raises(ValueError, match=r"resume\.pt is damaged|'batches' must be"):
        fit(
            make_model(),
            graph,
            CONFIG,
            batches=sampled(graph),
            run=run,
            resume=True,
            progress=False,
        )


def test_the_rest_of_an_epoch_is_what_would_have_come() -> None:
    loader = DataLoader(TensorDataset(torch.arange(6)), shuffle=True)
    torch.manual_seed(1)
    position, got = Position(), []
    for (number,) in position.rest(loader, keep_start=True):
        got.append((int(number), float(torch.rand(()))))
        position.batches += 1
        if position.batches == 4:
            break
    now, position = torch.get_rng_state(), Position.from_state(position.state_dict())
    torch.manual_seed(9)
    torch.set_rng_state(now)
    got += [(int(n), float(torch.rand(()))) for (n,) in position.rest(loader, keep_start=True)]
    torch.manual_seed(1)
    assert got == [(int(number), float(torch.rand(()))) for (number,) in loader]
