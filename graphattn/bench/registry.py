"""What is measured: every case by name, as a function that makes its contenders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from graphattn.bench.cora_step import cora_step
from graphattn.bench.measuring import Contender

__all__ = ["CASES"]

CASES: Mapping[str, Callable[[str | os.PathLike[str] | None], list[Contender]]] = MappingProxyType(
    {"cora-step": cora_step}
)
"""Cases by name; each is called with the folder of the data sets."""
