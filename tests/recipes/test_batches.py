from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphattn.recipes import (
    SamplingConfig,
    batches,
    load_data,
    make_batches,
    recipe,
    resume,
    run,
)


def test_without_neighbours_there_are_no_batches() -> None:
    data = load_data(recipe("gat/digits").data)
    assert make_batches(SamplingConfig(), data, 0) == {}


def test_batches_go_through_each_split_once_and_are_the_same_for_a_seed() -> None:
    data = load_data(recipe("gat/digits").data)
    config = SamplingConfig(
        num_neighbors=(4, 3), eval_num_neighbors=(-1, -1), batch_size=12, eval_batch_size=300
    )
    made = make_batches(config, data, 5)
    passes = {"train": made["batches"], **made["eval_batches"]}
    for split, loader in passes.items():
        seeds = torch.cat([batch.n_id[: batch.batch_size] for batch in loader])
        assert seeds.sort().values.tolist() == data[f"{split}_mask"].nonzero().view(-1).tolist()
    assert max(batch.batch_size for batch in made["batches"]) == 12
    first, again, other = (
        [batch.n_id.tolist() for batch in make_batches(config, data, seed)["batches"]]
        for seed in (5, 5, 6)
    )
    assert first == again != other


def test_ranks_share_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(recipe("gat/digits").data)
    config = SamplingConfig(num_neighbors=(2,), batch_size=7, eval_batch_size=200)
    seen = []
    for rank in (0, 1):
        monkeypatch.setattr(batches, "rank_and_count", lambda rank=rank: (rank, 2))
        loader = make_batches(config, data, 0)["eval_batches"]["val"]
        seen += [node for batch in loader for node in batch.n_id[: batch.batch_size].tolist()]
    assert sorted(seen) == data.val_mask.nonzero().view(-1).tolist()


def test_a_sampled_recipe_learns_and_goes_on(tmp_path: Path) -> None:
    experiment = recipe("gat/digits_sampled")
    short = replace(experiment, train=replace(experiment.train, max_epochs=12))
    report = run(short, 0, runs=tmp_path, progress=False, offline=True)
    assert report.val_metric > 0.85
    (folder,) = (path.parent for path in tmp_path.rglob("config.yaml"))
    (folder / "report.json").unlink()
    assert resume(folder, progress=False).numbers() == report.numbers()
