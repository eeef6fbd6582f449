"""Measurements against peers; what `graphattn bench` runs."""

from graphattn.bench.measuring import Contender, measure
from graphattn.bench.registry import CASES

__all__ = ["CASES", "Contender", "measure"]
