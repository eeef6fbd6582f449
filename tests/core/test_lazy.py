from __future__ import annotations

import sys
from types import ModuleType

import pytest

from graphattn._core.errors import unknown_name
from graphattn._core.lazy import lazy_exports


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package whose name `unknown_name` is that of a module of `graphattn._core`."""
    core = ModuleType("graphattn._core")
    core.__path__ = sys.modules["graphattn._core"].__path__
    monkeypatch.setitem(sys.modules, "graphattn._core", core)
    core.__getattr__ = lazy_exports("graphattn._core", {"unknown_name": "errors"})  # type: ignore[method-assign]
    return core


def test_imports_on_first_use(package: ModuleType) -> None:
    assert package.unknown_name is unknown_name
    with pytest.raises(AttributeError, match=r"module 'graphattn._core' has no attribute 'x'"):
        _ = package.x


def test_lists_what_it_has(package: ModuleType) -> None:
    package.loaded = 1  # type: ignore[attr-defined]
    assert {"unknown_name", "loaded", "__path__"} <= set(dir(package))
    assert dir(package) == sorted(dir(package))
