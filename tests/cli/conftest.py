from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from graphattn.cli import main


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def graphattn(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command line in this process."""

    def run(*words: object) -> Done:
        try:
            status = main([str(word) for word in words])
        except SystemExit as exit_:  # tyro's way out of --help and of unknown options
            status = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run
