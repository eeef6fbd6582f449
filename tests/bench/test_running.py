from __future__ import annotations

import time

import torch

from graphattn.bench import Case, Contender, Goal, Lineup, Missing, Settings, run_case


def case(threads: str = "both") -> Case:
    seen: list[int] = []

    def contender(name: str, kind: str, seconds: float) -> Contender:
        def step() -> None:
            seen.append(torch.get_num_threads())
            time.sleep(seconds)

        return Contender(name, kind, step)

    return Case(
        "toy",
        "no inputs",
        lambda settings: Lineup(
            [
                contender("us", "ours", 0),
                contender("slow form", "pyg", 0.02),
                contender("fast form", "pyg", 0.001),
            ],
            [Missing("them", "too far away")],
            note="a note",
        ),
        (Goal("threads seen", 1, 2, lambda rows: len(set(seen))),),
        repeats=2,
        threads=threads,
    )


def test_fastest_form_alone_runs_on_the_second_number_of_threads() -> None:
    first, second = run_case(case(), Settings(scale=0.5), threads=(2, 1), progress=False)
    assert [table.threads for table in (first, second)] == [2, 1]
    assert [row.contender for row in first.rows] == ["us", "slow form", "fast form"]
    assert [row.contender for row in second.rows] == ["us", "fast form"]
    assert first.missing == [Missing("them", "too far away")]
    assert second.missing == [Missing("slow form", "slower in 'toy' on 2 thread(s)")]
    assert [table.figures[0].measured for table in (first, second)] == [1, 2]
    assert first.note == second.note == "a note, synthetic graphs scaled by 0.5"
    assert first.rows[0].peak_mb is not None
    assert second.rows[0].peak_mb is None


def test_threads_and_repeats_are_those_of_the_case_unless_given() -> None:
    most = torch.get_num_threads()
    for threads, expected in (("one", [1]), ("all", [most])):
        tables = run_case(case(threads), Settings(), progress=False)
        assert [table.threads for table in tables] == expected
        assert tables[0].rows[0].repeats == 2
        assert tables[0].note == "a note"
    (table,) = run_case(case(), Settings(), repeats=1, threads=(1,), progress=False)
    assert table.rows[0].repeats == 1


def test_forms_that_were_slower_in_a_similar_case_do_not_run() -> None:
    first, _ = run_case(case(), Settings(), threads=(2, 1), progress=False)
    (table,) = run_case(case(), Settings(), threads=(1,), like=first, progress=False)
    assert [row.contender for row in table.rows] == ["us", "fast form"]
    assert [missing.name for missing in table.missing] == ["them", "slow form"]
