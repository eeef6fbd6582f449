"""Measurements against peers; what `graphattn bench` runs."""

from graphattn.bench.contender import Contender
from graphattn.bench.measuring import measure
from graphattn.bench.registry import CASES

__all__ = ["CASES", "Contender", "measure"]
