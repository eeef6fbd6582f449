"""Measurements against peers; what `graphattn bench` runs."""

from graphattn.bench.case import Case, Figure, Goal, Lineup, Settings
from graphattn.bench.measuring import Contender, Measured, Missing, Row, measure
from graphattn.bench.registry import BY_NAME_ONLY, GROUPS
from graphattn.bench.report import Table, as_text, load_tables, processor, save_tables, speed_table
from graphattn.bench.running import run_case

__all__ = [
    "BY_NAME_ONLY",
    "GROUPS",
    "Case",
    "Contender",
    "Figure",
    "Goal",
    "Lineup",
    "Measured",
    "Missing",
    "Row",
    "Settings",
    "Table",
    "as_text",
    "load_tables",
    "measure",
    "processor",
    "run_case",
    "save_tables",
    "speed_table",
]
