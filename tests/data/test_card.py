from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from graphattn.data import _card, card, cards


def test_every_card_of_the_repository_is_read() -> None:
    names = [c.name for c in cards()]
    assert names == sorted(names)
    assert {"cora", "citeseer", "texas", "twitch-fr", "digits", "ogbn-papers100M"} <= set(names)
    for found in cards():
        assert found.title
        assert found.licence
        for name, split in found.splits.items():
            files = found.raw_files(name)
            assert files or found.loader.kind == "builtin"
            assert all(sha is None or len(sha) == 64 for sha in files.values())
            if split.sizes:
                assert sum(split.sizes) <= found.statistics.nodes
                assert all(isinstance(size, int) and size > 0 for size in split.sizes)


def test_names_are_case_insensitive() -> None:
    assert card("CoRa") is card("cora")
    assert card("OGBN-PAPERS100m").name == "ogbn-papers100M"


@pytest.mark.parametrize(
    ("wrong", "right"), [("coraa", "cora"), ("ogbn_arxiv", "ogbn-arxiv"), ("texs", "texas")]
)
def test_unknown_name_suggests_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown data set '{wrong}'; did you mean '{right}'"):
        card(wrong)


def test_name_must_be_a_string() -> None:
    with pytest.raises(TypeError, match="'name' must be a string, got 3"):
        card(3)  # type: ignore[arg-type]


def test_unknown_split_names_the_known() -> None:
    with pytest.raises(ValueError, match=r"unknown split of cora 'pubic'; did you mean 'public'"):
        card("cora").split("pubic")


def test_a_rule_is_a_split_of_every_card() -> None:
    found = card("cora").split("2.5/2.5/95")
    assert (found.draw, found.seed, found.sizes) == ("2.5/2.5/95", None, None)
    with pytest.raises(ValueError, match=r"a rule like 60/20/20 .* got '60/40'"):
        card("cora").split("60/40")


def test_nodes_of_a_split_may_lie_elsewhere() -> None:
    assert set(card("cs").raw_files("tuned")) - set(card("cs").raw_files()) == {
        "tunedGNN_splits/cs.npz"
    }


def test_protocols_have_files_of_their_own() -> None:
    cora = card("cora")
    assert len(cora.raw_files()) == len(cora.raw_files("random")) == 8
    assert len(cora.raw_files("geom-gcn")) == 18
    assert cora.raw("geom-gcn") == "Cora/geom-gcn/raw"


BAD = {
    "unknown key of ring.yaml 'nods'": {"nods": 1},
    "unknown key of ring.yaml: statistics 'node'; did you mean 'nodes'": {
        "statistics": {"node": 1, "edges": 1, "features": 1, "classes": 1}
    },
    "unknown key of ring.yaml: loader 'file'": {"loader": {"kind": "pyg", "name": "A", "file": 1}},
    "unknown key of ring.yaml: splits: public 'siezs'": {"splits": {"public": {"siezs": []}}},
    "ring.yaml: alternatives: missing 'edges'": {
        "alternatives": [{"nodes": 1, "features": 1, "classes": 1}]
    },
    "ring.yaml: loader: missing 'kind'": {"loader": {"name": "A"}},
    "ring.yaml: statistics: expected keys and values, got 5": {"statistics": 5},
    "'name' is 'rong', expected 'ring'": {"name": "rong"},
    "'task' is 'regression'": {"task": "regression"},
    "'kind' is 'dgl'": {"loader": {"kind": "dgl", "name": "A"}},
    "unknown split of ring 'full'": {"default_split": "full"},
    "a split must be drawn by a rule like 60/20/20": {"splits": {"public": {"draw": "all"}}},
    "the name '60/20/20' looks like a rule": {
        "splits": {"public": {}, "60/20/20": {}},
    },
    "splits: public: 'ids' is not among 'files'": {"splits": {"public": {"ids": "a.npz"}}},
}


@pytest.mark.parametrize(("message", "changes"), BAD.items(), ids=list(BAD))
def test_bad_card(write_card, tmp_path: Path, message: str, changes: dict[str, object]) -> None:
    write_card()
    path = tmp_path / "cards" / "ring.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    with pytest.raises(ValueError, match=message):
        card("ring")


def test_installed_cards_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_card, "__file__", str(tmp_path / "data" / "_card.py"))
    (tmp_path / "data" / "datasets").mkdir(parents=True)
    assert _card._folder() == tmp_path / "data" / "datasets"


def test_cards_are_read_without_torch() -> None:
    code = (
        "import sys; from graphattn.data import cards; cards(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
