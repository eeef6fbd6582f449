from __future__ import annotations

import os
import subprocess
import sys

import pytest

from graphattn.ops import _triton


@pytest.mark.skipif(_triton.why_missing() is not None, reason="triton is not installed")
def test_the_switch_at_the_import_decides() -> None:
    other = not _triton.interprets()
    code = "from graphattn.ops import _triton; print(_triton.interprets())"
    environment = os.environ | {"TRITON_INTERPRET": str(int(other))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(other)


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_triton, "find_spec", lambda name: None)
    for function in (_triton.why_missing, _triton.interprets):
        function.cache_clear()
    try:
        assert _triton.why_missing() == "triton is not installed"
        assert not _triton.interprets()
    finally:
        for function in (_triton.why_missing, _triton.interprets):
            function.cache_clear()
