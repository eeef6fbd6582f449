from __future__ import annotations

import torch

from graphattn.bench import BY_NAME_ONLY, GROUPS, Settings, measure
from graphattn.bench.gats import CLASSES, EDGES, NODES, lineup


def test_the_size_is_that_of_reddit() -> None:
    assert (NODES, EDGES, CLASSES) == (232_965, 114_615_892, 41)
    assert "gats" in BY_NAME_ONLY
    goals = {figure.figure: (figure.must, figure.aim) for figure in GROUPS["gats"][0].goals}
    assert goals == {
        "minutes of all": (20, 10),
        "seconds an epoch, preparation included": (None, None),
        "peak memory of the process, GB": (8, 4),
    }


def test_a_whole_fit_runs_once() -> None:
    made = lineup(Settings(scale=0.001))
    assert "edges enter validation nodes" in made.note
    (ours,) = made.contenders
    threads = torch.get_num_threads()
    (row,), missing = measure([ours], threads=threads, memory=True, progress=False)
    assert missing == []
    assert row.repeats == 1
    assert row.counts["epochs"] > 50
    assert row.counts["loss after"] < 0.98 * row.counts["loss before"]
    assert row.forward_ms < row.ms
    figures = [goal.read([row]) for goal in GROUPS["gats"][0].goals]
    assert all(figure is not None for figure in figures)
