from __future__ import annotations

import pytest

from graphattn.models.config import ModelConfig, check_heads


def test_heads_share_the_channels() -> None:
    check_heads(12, 4)
    with pytest.raises(ValueError, match=r"'heads' \(5\) must divide 'hidden_channels' \(12\)"):
        check_heads(12, 5)


def test_settings_without_a_network_are_none() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ModelConfig()  # type: ignore[abstract]
