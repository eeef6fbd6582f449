"""All cases, by the names that users type. Their inputs are declared here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch

from graphattn.bench import aero, cora_step, gats, gpu, products, sampler
from graphattn.bench.case import Case, Goal, Kinds, Lineup, Settings
from graphattn.bench.goals import faster_than, less_memory_than, of_the_floor, peak_at_most
from graphattn.bench.graphs import CORA_SIZED, LARGE, TWELVE_MILLION
from graphattn.bench.layers import (
    LAYERS,
    LayerInputs,
    LayerKind,
    dropout_lineup,
    lineup,
    ours_alone,
)

__all__ = ["BY_NAME_ONLY", "GROUPS"]

_Maker = Callable[[LayerKind, LayerInputs, Settings], Lineup]

_NARROW = ((0.4, 0.3), (0.65, 0.5))
_WIDE = ((0.6, 0.5), (0.85, 0.75))
_SHAPES = ((8, 8, _NARROW), (4, 32, _WIDE), (1, 128, _WIDE))


def _case(
    name: str,
    inputs: LayerInputs,
    goals: tuple[Goal, ...],
    *,
    make: _Maker = lineup,
    repeats: int = 5,
    threads: Literal["one", "all", "both"] = "all",
    forms_like: str | None = None,
) -> Case:
    kind = LAYERS[name.split()[0]]
    return Case(
        name,
        str(inputs),
        lambda settings: make(kind, inputs, settings),
        goals,
        repeats,
        threads,
        forms_like=forms_like,
    )


def _gat_large(heads: int, channels: int, floor: tuple[tuple[float, float], ...]) -> Case:
    goals = (
        faster_than("pyg", 5, 8),
        faster_than("compiled", 3, 4.5),
        faster_than("dgl", 4, 5),
        less_memory_than("pyg", 8, 12),
        *of_the_floor(*floor),
    )
    inputs = LayerInputs(LARGE, heads, channels)
    narrow = heads * channels < 128
    return _case(
        f"gat {heads}x{channels}",
        inputs,
        goals,
        # A step of PyG takes about 10 s at the greater width.
        repeats=5 if narrow else 3,
        threads="both" if narrow else "all",
        forms_like=None if narrow else "gat 8x8",
    )


def _same_as_gat(group: str, heads: int, channels: int) -> Case:
    goals = (faster_than("pyg", 5, 8), less_memory_than("pyg", 12, None))
    inputs = LayerInputs(LARGE, heads, channels)
    first, name = f"{group} 8x8", f"{group} {heads}x{channels}"
    return _case(name, inputs, goals, repeats=3, forms_like=None if name == first else first)


def _dropout_cost(rows: Kinds) -> float:
    return 100 * (rows["ours dropping"].ms / rows["ours"].ms - 1)


def _gat() -> tuple[Case, ...]:
    cora = LayerInputs(CORA_SIZED, 8, 8)
    cora_goals = (faster_than("pyg", 2.5, 4), faster_than("compiled", 2, 3))
    dropout = LayerInputs(LARGE, 8, 8, dropout=0.6)
    dropout_goal = Goal("attention dropout costs, %", 5, 2, _dropout_cost, at_most=True)
    heavy = LayerInputs(TWELVE_MILLION, 8, 8)
    return (
        _case("gat cora-sized", cora, cora_goals, repeats=50, threads="both"),
        *(_gat_large(*shape) for shape in _SHAPES),
        _case("gat dropout", dropout, (dropout_goal,), make=dropout_lineup, repeats=15),
        _case("gat 12M edges", heavy, (peak_at_most(1200, None),), make=ours_alone, repeats=1),
    )


def _aero() -> tuple[Case, ...]:
    return (
        Case(
            "aero cora",
            "AERO-GNN of the recipe, 32 steps, hidden 64, Cora, forward and backward",
            aero.cora_lineup,
            (faster_than("plain", 5, 10), less_memory_than("plain", 10, None, of="held")),
            repeats=10,
            threads="both",
        ),
        Case(
            "aero large",
            f"{LARGE}, AERO-GNN, 64 steps, 128 -> 64 -> 40, forward and backward",
            aero.large_lineup,
            (peak_at_most(8000, 5000),),
            repeats=1,
        ),
    )


def _sampler() -> Case:
    def rate(rows: Kinds) -> float | None:
        return rows["ours"].million_edges_per_s

    def against_dgl(rows: Kinds) -> float | None:
        theirs = rows["dgl"].million_edges_per_s if "dgl" in rows else None
        ours = rows["ours"].million_edges_per_s
        return ours / theirs if ours and theirs else None

    return Case(
        "sampler",
        f"{LARGE}, {sampler.BATCH} seeds, fan-out {sampler.FAN_OUT}, without replacement",
        sampler.lineup,
        (
            Goal("times the edges per second of DGL", 2.5, 4, against_dgl),
            Goal("million edges per second", None, 30, rate),
        ),
        repeats=10,
        threads="one",
        memory=False,
    )


def _gpu() -> tuple[Case, ...]:
    products = gpu.PRODUCTS
    arxiv = LayerInputs(LARGE, 8, 8)
    kinds = {"ours": torch.float32, "ours bf16": torch.bfloat16}
    return (
        Case(
            "gpu arxiv",
            str(arxiv),
            lambda settings: gpu.layer_lineup(LAYERS["gat"], arxiv, settings),
            (
                faster_than("pyg", None, None),
                faster_than("compiled", None, None),
                less_memory_than("pyg", None, None),
            ),
            repeats=20,
        ),
        Case(
            "gpu products",
            f"{products}, attend with GAT scores 8 x 8, forward and backward",
            gpu.op_lineup,
            (*(gpu.cold_rate(*each) for each in kinds.items()), peak_at_most(None, None)),
            repeats=10,
        ),
    )


GROUPS: Mapping[str, tuple[Case, ...]] = MappingProxyType(
    {
        "gat": _gat(),
        "gatv2": tuple(_same_as_gat("gatv2", *shape[:2]) for shape in _SHAPES),
        "dot": tuple(_same_as_gat("dot", *shape[:2]) for shape in _SHAPES),
        "aero": _aero(),
        "sampler": (_sampler(),),
        "cora-step": (
            Case(
                "cora-step",
                "GAT of the recipe on Cora: forward, backward, Adam",
                cora_step.lineup,
                (faster_than("pyg", 6, 8), faster_than("pyg", 4, None, ours="ours plain")),
                repeats=30,
                threads="both",
            ),
        ),
        "gpu": _gpu(),
        "products": (
            Case(
                "products",
                f"power-law graph, {products.NODES:,} nodes, {products.EDGES:,} edges, "
                f"{products.FEATURES} features, forward, backward, Adam",
                products.lineup,
                (products.epoch_s(), products.peak_gib()),
                repeats=1,
            ),
        ),
        "gats": (
            Case(
                "gats",
                f"power-law graph, {gats.NODES:,} nodes, {gats.EDGES:,} edges, {gats.CLASSES} "
                "classes, a whole fit of GATS, then the logits of all nodes",
                gats.lineup,
                (gats.minutes(), gats.epoch_s(), gats.peak_gb()),
                repeats=1,
            ),
        ),
    }
)
"""Cases by group."""
BY_NAME_ONLY = ("products", "gats")
"""Groups that run only when they are named: they take minutes and most of a machine's memory."""
