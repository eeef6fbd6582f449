from __future__ import annotations

import pytest

from graphattn._core.lazy import lazy_exports


def test_imports_on_first_use() -> None:
    get = lazy_exports("graphattn._core", {"unknown_name": "errors"})
    from graphattn._core.errors import unknown_name

    assert get("unknown_name") is unknown_name
    with pytest.raises(AttributeError, match=r"module 'graphattn._core' has no attribute 'x'"):
        get("x")
