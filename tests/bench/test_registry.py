from __future__ import annotations

from graphattn.bench import GROUPS


def test_names_are_those_of_the_command_line() -> None:
    assert list(GROUPS) == [
        "gat",
        "gatv2",
        "dot",
        "aero",
        "sampler",
        "cora-step",
        "gpu",
        "products",
        "gats",
    ]
    for group, cases in GROUPS.items():
        assert all(case.name.split()[0] == group for case in cases)
    names = [case.name for cases in GROUPS.values() for case in cases]
    assert len(set(names)) == len(names)


def test_every_case_has_figures_to_reach() -> None:
    for cases in GROUPS.values():
        for case in cases:
            assert case.goals
            assert case.inputs


def test_similar_cases_come_first() -> None:
    for cases in GROUPS.values():
        names = [case.name for case in cases]
        for place, case in enumerate(cases):
            assert case.forms_like is None or case.forms_like in names[:place]
