from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

import graphattn
from graphattn.train.environment import describe_environment, git_revision


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package committed at the top of a checkout."""
    package = tmp_path / "checkout" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-qm", "first")
    return package


def test_says_what_ran() -> None:
    environment = json.loads(json.dumps(describe_environment(torch.device("cpu"))))
    assert environment["torch"] == torch.__version__
    assert environment["graphattn"] == graphattn.__version__
    assert environment["device"] == "cpu"
    assert environment["threads"] == torch.get_num_threads()
    assert {"python", "torch_geometric", "git_revision", "date"} <= environment.keys()


def test_revision_of_a_checkout_and_whether_it_was_changed(package: Path) -> None:
    revision = git(package, "rev-parse", "HEAD")
    assert git_revision(package) == revision
    (package / "__init__.py").write_text("changed")
    assert git_revision(package) == f"{revision}-dirty"


def test_a_tag_does_not_replace_the_hash(package: Path) -> None:
    git(package, "tag", "-am", "release", "v1")
    assert git_revision(package) == git(package, "rev-parse", "HEAD")


def test_no_revision_outside_a_checkout_or_deep_inside_another(
    tmp_path: Path, package: Path
) -> None:
    assert git_revision(tmp_path) is None
    installed = package.parent / ".venv" / "site-packages" / "package"
    installed.mkdir(parents=True)
    assert git_revision(installed) is None


def test_no_revision_without_git(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_revision(package) is None
