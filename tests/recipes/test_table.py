from __future__ import annotations

import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graphattn.recipes import collect_reports, results_table
from graphattn.recipes.table import keep_reports, to_markdown, to_text
from graphattn.train import Report, RunFolder


def report(name: str, seed: int, accuracy: float) -> Report:
    return Report(
        name=name,
        seed=seed,
        split="public",
        metric="accuracy",
        best_epoch=1,
        epochs=2,
        train_loss=0.1,
        train_metric=1.0,
        val_loss=0.2,
        val_metric=0.8,
        test_loss=0.3,
        test_metric=accuracy,
        seconds=1.0,
        parameters=10,
        device="cpu",
    )


def test_mean_sample_deviation_and_difference() -> None:
    rows = [report("mine", 0, 0.5), report("gat/cora", 0, 0.82), report("gat/cora", 1, 0.84)]
    table = results_table(rows)
    assert table["recipe"].tolist() == ["gat/cora", "mine"]
    cora = table.iloc[0]
    assert cora["mean"] == pytest.approx(83.0)
    assert cora["sd"] == pytest.approx(2**0.5)
    assert (cora["n"], cora["published"], cora["published_sd"]) == (2, 83.0, 0.7)
    assert cora["difference"] == pytest.approx(0.0)
    assert "83.00 ± 1.41  2 83.00 ± 0.70      +0.00 GAT paper" in to_text(table)
    assert "| mine" not in to_markdown(table)
    assert "| `mine` | 50.00 | 1 | - | - |  |" in to_markdown(table)


def test_notes_are_numbered() -> None:
    table = results_table([report("gat/cora", 0, 0.82), report("gat/citeseer", 0, 0.7)])
    table["note"] = ["first", "second"]
    text = to_markdown(table)
    assert "| `gat/cora` [1] |" in text
    assert "| `gat/citeseer` [2] |" in text
    assert text.endswith("[1] first\n\n[2] second\n")
    assert to_text(table).endswith("gat/cora: first\ngat/citeseer: second")


def test_the_newest_of_equal_runs_counts(tmp_path: Path) -> None:
    for begun, accuracy in (("20260101-000000", 0.7), ("20260201-000000", 0.8)):
        folder = tmp_path / "gat" / "cora" / f"{begun}-seed0"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report("gat/cora", 0, accuracy).to_dict()))
    (found,) = collect_reports(tmp_path)
    assert found.test_metric == 0.8


def write(folder: Path, values: Report | dict[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    plain = values.to_dict() if isinstance(values, Report) else values
    (folder / "report.json").write_text(json.dumps(plain))
    return folder


def test_the_tenth_run_of_a_second_is_newer_than_the_second(tmp_path: Path) -> None:
    for attempt in range(1, 13):
        end = "" if attempt == 1 else f"-{attempt}"
        folder = tmp_path / f"20260101-000000Z-seed0{end}"
        write(folder, report("toy", 0, attempt / 100))
    (found,) = collect_reports(tmp_path)
    assert found.test_metric == 0.12


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no time zones to set")
@pytest.mark.parametrize(("zone", "newest"), [("UTC-9", 0.2), ("UTC+9", 0.1), ("UTC", 0.2)])
def test_times_of_older_versions_are_local_and_new_ones_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, newest: float
) -> None:
    write(tmp_path / "20260101-120000-seed0", report("toy", 0, 0.1))
    write(tmp_path / "20260101-123000Z-seed0", report("toy", 0, 0.2))
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        (found,) = collect_reports(tmp_path)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.test_metric == newest


def test_the_order_is_that_of_time_whatever_the_folders_are_called(tmp_path: Path) -> None:
    write(tmp_path / "z" / "20250101-000000Z-seed0", report("toy", 0, 0.1))
    write(tmp_path / "a" / "20260101-000000Z-seed0", report("toy", 0, 0.2))
    write(tmp_path / "zz" / "99999999-999999Z-seed0", report("toy", 0, 0.3))
    write(tmp_path / "zzz" / "seed0", report("toy", 0, 0.4))
    (found,) = collect_reports(tmp_path)
    assert found.test_metric == 0.2


def test_kept_reports_are_found_again(tmp_path: Path) -> None:
    reports = [report("gat/cora", seed, 0.8) for seed in (0, 1)]
    keep_reports(reports, tmp_path)
    assert collect_reports(tmp_path) == reports
    assert (tmp_path / "gat/cora/seed1/report.json").exists()
    keep_reports(reports[:1], tmp_path)
    assert collect_reports(tmp_path) == reports[:1]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../victim"},
        {"name": "a/../../victim"},
        {"name": "{outside}"},
        {"name": ""},
        {"name": "a\x00b"},
        {"seed": "0/../../../victim"},
        {"seed": -1},
        {"seed": None},
    ],
)
def test_nothing_is_kept_or_deleted_outside_the_folder(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    if "name" in change:
        change = {"name": change["name"].format(outside=tmp_path / "victim")}
    victim = write(tmp_path / "victim" / "seed0", report("victim", 0, 0.1)) / "report.json"
    before = victim.read_bytes()
    bad = replace(report("gat/cora", 0, 0.8), **change)
    with pytest.raises((TypeError, ValueError), match=r"'(name|seed)' must"):
        keep_reports([report("toy", 0, 0.5), bad], tmp_path / "kept")
    assert victim.read_bytes() == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [victim]


@pytest.mark.parametrize("link", ["gat", "gat/cora", "gat/cora/seed0"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, link: str) -> None:
    kept, victim = tmp_path / "kept", tmp_path / "victim"
    for inner in (".", "cora/seed0", "seed0"):
        write(victim / inner, report("victim", 0, 0.1))
    (kept / link).parent.mkdir(parents=True)
    (kept / link).symlink_to(victim)
    with pytest.raises(ValueError, match="but a link leads out of it"):
        keep_reports([report("gat/cora", 0, 0.8)], kept)
    assert len(list(victim.rglob("report.json"))) == 3


def test_a_linked_folder_of_an_old_seed_is_left_alone(tmp_path: Path) -> None:
    kept, victim = tmp_path / "kept", write(tmp_path / "victim", report("victim", 0, 0.1))
    (kept / "gat/cora").mkdir(parents=True)
    (kept / "gat/cora/seed9").symlink_to(victim)
    keep_reports([report("gat/cora", 0, 0.8)], kept)
    assert (victim / "report.json").exists()


HOSTILE = [
    *("a|b", "`a`", "a\nb", "a\r| x |", "\x1b]0;owned\x07", "\x1b[2J", "\u202ecba", "\x9b2J"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_can_not_break_the_table_or_the_terminal(name: str) -> None:
    table = results_table([report(name, 0, 0.5), report("mine", 0, 0.5)])
    for text in (to_text(table), to_markdown(table)):
        assert len(text.strip().splitlines()) == (3 if text == to_text(table) else 4)
        assert all(sign.isprintable() or sign == "\n" for sign in text)
    rows = [line for line in to_markdown(table).splitlines() if line.startswith("| `")]
    assert len(rows) == 2
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 7
        assert row.count("`") == 2


DAMAGED = {
    "empty": b"",
    "no json": b"{",
    "list": b"[]",
    "missing": b'{"name": "x"}',
    "text": json.dumps(report("x", 0, 0.8).to_dict() | {"test_metric": "high"}).encode(),
    "nan": json.dumps(report("x", 0, 0.8).to_dict() | {"test_loss": float("nan")}).encode(),
    "deep": b"[" * 10**5,
    "large": b" " * (2**20 + 1),
    "bytes": b"\xff\xfe",
}


def damage(folder: Path, kind: str) -> None:
    folder.mkdir(parents=True)
    path = folder / "report.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "link to nothing":
        path.symlink_to("nothing")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(DAMAGED[kind])


KINDS = [*DAMAGED, "pipe", "device", "link to nothing", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_report_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    damage(tmp_path / "bad\x1b", kind)
    write(tmp_path / "good", report("toy", 0, 0.5))
    assert collect_reports(tmp_path) == [report("toy", 0, 0.5)]
    (line,) = caplog.messages
    assert r"bad\x1b/report.json" in line
    assert line.isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_damaged_reports_is_an_error_that_names_them(tmp_path: Path, kind: str) -> None:
    damage(tmp_path / "bad", kind)
    with pytest.raises(ValueError, match=r"that can be read\n.*bad/report\.json"):
        collect_reports(tmp_path)


def test_figures_that_are_no_numbers(tmp_path: Path) -> None:
    values = report("gat/cora", 0, 0.8).to_dict() | {"test_metric": "high"}
    (tmp_path / "report.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="'test_metric' must be a number, got 'high'"):
        collect_reports(tmp_path)


def test_unfinished_runs_are_named_with_what_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = RunFolder.create(tmp_path / "my runs", "toy", 0, config={"a": 1}).path
    never = RunFolder.create(tmp_path / "my runs", "toy", 1).path
    with pytest.raises(ValueError, match=r"no report\.json below") as info:
        collect_reports(tmp_path)
    assert f"goes on with: graphattn train --resume '{begun}'" in str(info.value)
    assert f"ended before it began, can be removed: '{never}'" in str(info.value)
    write(tmp_path / "good", report("toy", 0, 0.5))
    assert collect_reports(tmp_path) == [report("toy", 0, 0.5)]
    assert [str(path) in " ".join(caplog.messages) for path in (begun, never)] == [True, True]


def test_many_unfinished_runs_are_counted(tmp_path: Path) -> None:
    for seed in range(14):
        RunFolder.create(tmp_path, "toy", seed, config={})
    with pytest.raises(ValueError, match="4 more runs are not finished") as info:
        collect_reports(tmp_path)
    assert str(info.value).count("--resume") == 10


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no report\.json below.*\n`graphattn train` makes them"):
        collect_reports(tmp_path)
    (tmp_path / "report.json").write_text('{"name": "x"}')
    with pytest.raises(ValueError, match="is no report: the report lacks seed"):
        collect_reports(tmp_path)
