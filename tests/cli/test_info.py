from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from graphattn.ops import _native
from graphattn.ops._dispatch import FAST_PATHS


def test_tells_versions_and_implementations(graphattn: Callable[..., Any]) -> None:
    done = graphattn("info")
    assert done.status == 0
    assert f"torch {torch.__version__}" in done.out
    assert all(op in done.out for op in FAST_PATHS)


def test_tells_why_something_is_slower(
    graphattn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_native, "why_missing", lambda: "not built: no compiler")
    assert "not built: no compiler" in graphattn("info").out
