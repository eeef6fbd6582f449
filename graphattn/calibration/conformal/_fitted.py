"""Modules whose buffers get their shapes from the fit."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from typing_extensions import override

__all__ = ["Fitted"]


class Fitted(nn.Module):
    """A module that loads buffers of any shape, as those of the one that was saved."""

    @override
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in self._buffers.items():
            stored = state_dict.get(f"{prefix}{name}")
            if buffer is not None and isinstance(stored, Tensor):
                setattr(self, name, buffer.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
