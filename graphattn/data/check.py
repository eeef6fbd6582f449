"""Checks of a graph: can it be trained on, and is it what its card says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphattn.data import _files
from graphattn.data._card import Card
from graphattn.data._splits import MASKS
from graphattn.ops.checks import check_csr

__all__ = ["check_card", "check_data", "check_files"]


def check_data(data: Data, *, labels: bool = True, one_split: bool = False) -> None:
    """Check that a graph can be trained on.

    Looked at are ``edge_index`` (integers in ``[0, N)``, shape ``[2, E]``, or a sparse ``[N, N]``
    matrix), ``x`` (finite floats, shape ``[N, F]``, dense or sparse), the masks (booleans of shape
    ``[N]`` or ``[N, S]``, True for the nodes that belong, none empty, no node in two) and ``y``
    inside the masks (integers in ``[0, num_classes)``, or floats ``[N, T]`` in ``[0, 1]`` for
    several labels per node, NaN where one of them is missing). :func:`~graphattn.data.tidy` brings
    other forms into this one.

    Args:
        data: The graph. With an attribute ``num_classes`` the labels must be below it.
        labels: Whether to look at the values of ``y``, which a task decides about.
        one_split: Whether the masks must be of one split, ``[N]``.

    Raises:
        ValueError: For the first thing that is wrong; the error names it, what was found and what
            was expected.
        TypeError: If that is a type.
    """
    for problem in _problems(data, labels=labels):
        raise problem
    if one_split and data.train_mask.dim() != 1:
        raise ValueError(
            f"'train_mask' must be of one split [N], got {list(data.train_mask.shape)}; choose one "
            "of several with graphattn.data.select_split(data, index)"
        )


def check_card(data: Data, card: Card, *, split: str | None = None) -> None:
    """Check that a graph can be trained on and has the counts and split sizes that its card says.

    Args:
        data: The graph, as loaded.
        card: Its card.
        split: Name of the protocol; ``None`` is the default of the card.

    Raises:
        ValueError: If anything differs; the error lists all of it.
    """
    problems = [str(problem) for problem in _problems(data)]
    differences = _differences(data, card, intact=not problems)
    sizes = card.split(split)
    if not problems:
        differences += _split_differences(data, sizes.sizes, sizes.count)
    if problems or differences:
        raise ValueError(
            f"data set {card.name!r} is not what its card says:\n  "
            + "\n  ".join(problems + differences)
        )


def check_files(
    card: Card, *, root: str | os.PathLike[str] | None = None, split: str | None = None
) -> None:
    """Compare the raw files of a data set with the hashes of its card.

    Args:
        card: The card.
        root: Folder of all data sets, found as :func:`~graphattn.data.load` finds it.
        split: Name of the protocol whose files are meant; ``None`` is the default of the card.

    Raises:
        FileNotFoundError: If any file is missing; the error lists them.
        ValueError: If any differs; the error lists them. Files without a known hash pass.
    """
    place = _files.resolve_root(root)
    base, _ = _files.find_raw(card, split, place, offline=True)
    _files.check_hashes(card, split, base / card.raw(split))
    if card.split(split).ids:
        _files.check_ids(card, split, base)


def _problems(data: Data, *, labels: bool = True) -> Iterator[ValueError | TypeError]:
    """What makes training impossible."""
    if not isinstance(data, Data):
        yield TypeError(f"'data' must be a torch_geometric.data.Data, got {type(data).__name__}")
        return
    for name in ("x", "edge_index", "y", *MASKS):
        if not isinstance(value := data.get(name), Tensor):
            yield _no_tensor(data, name, value)
            return
    if data.x.dim() != 2:
        yield ValueError(f"'x' must have shape [N, F], got {list(data.x.shape)}")
        return
    yield from _feature_problems(data.x)
    yield from _edge_problems(data.edge_index, data.x.size(0))
    if isinstance(data.get("edge_attr"), Tensor):
        yield from _edge_attr_problems(data.edge_attr, data.edge_index)
    shapes = list(_mask_shape_problems(data))
    shapes += _label_shape_problems(data) if labels else ()
    yield from shapes
    if not shapes:
        yield from _mask_problems(data)
        yield from _label_problems(data) if labels else ()


def _no_tensor(data: Data, name: str, value: object) -> ValueError | TypeError:
    """Why an entry is no tensor, and what to do."""
    if value is not None:
        hint = "; graphattn.data.tidy converts it" if isinstance(value, np.ndarray) else ""
        kind = f"{type(value).__module__}.{type(value).__name__}"
        return TypeError(f"'{name}' must be a torch.Tensor, got {kind}{hint}")
    hint = ""
    if name == "edge_index" and data.get("adj_t") is not None:
        hint = " (there is 'adj_t'; graphattn.data.tidy makes 'edge_index' of it)"
    elif name in MASKS and not any(mask in data for mask in MASKS):
        hint = (
            ": 'data' has no split; draw one with graphattn.data.random_split(data, '60/20/20', "
            "seed=0) (--data.split 60/20/20)"
        )
    return ValueError(f"'{name}' is missing from 'data', expected a tensor{hint}")


def _feature_problems(x: Tensor) -> Iterator[ValueError | TypeError]:
    """Features that are no numbers."""
    if not x.is_floating_point():
        yield TypeError(f"'x' must have a floating dtype, got {x.dtype}")
        return
    if (problem := _pattern_problem(x, "x")) is not None:
        yield problem
        return
    values = x if x.layout == torch.strided else (x.coalesce() if x.is_sparse else x).values()
    finite = values.isfinite()
    if not finite.all():
        bad = values[~finite]
        yield ValueError(f"'x' must be finite, got {bad[0].item()} ({bad.numel()} such value(s))")


def _pattern_problem(matrix: Tensor, name: str) -> ValueError | None:
    """What is wrong with the pattern of a compressed matrix."""
    if matrix.layout in (torch.sparse_csr, torch.sparse_csc):
        try:
            check_csr(matrix, name)
        except ValueError as error:
            return error
    return None


def _edge_attr_problems(edge_attr: Tensor, edge_index: Tensor) -> Iterator[ValueError]:
    """Edge features that are no numbers, or not one row per edge."""
    if edge_index.layout == torch.strided and edge_attr.size(0) != edge_index.size(-1):
        yield ValueError(
            f"'edge_attr' must have a row per edge ({edge_index.size(-1)}), got {edge_attr.size(0)}"
        )
    finite = edge_attr.isfinite()
    if not finite.all():
        bad = edge_attr[~finite]
        yield ValueError(
            f"'edge_attr' must be finite, got {bad[0].item()} ({bad.numel()} such value(s))"
        )


def _edge_problems(edge_index: Tensor, num_nodes: int) -> Iterator[ValueError | TypeError]:
    """Edges of a wrong type or between nodes that do not exist."""
    if edge_index.layout != torch.strided:
        if tuple(edge_index.shape) != (num_nodes, num_nodes):
            yield ValueError(
                f"a sparse 'edge_index' must have shape [{num_nodes}, {num_nodes}], "
                f"got {list(edge_index.shape)}"
            )
        elif (problem := _pattern_problem(edge_index, "edge_index")) is not None:
            yield problem
        return
    if edge_index.dtype not in (torch.int64, torch.int32):
        yield TypeError(f"'edge_index' must have an integer dtype, got {edge_index.dtype}")
        return
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        yield ValueError(f"'edge_index' must have shape [2, E], got {list(edge_index.shape)}")
        return
    if edge_index.numel() == 0:
        return
    lowest, highest = (int(end) for end in edge_index.aminmax())
    if lowest < 0 or highest >= num_nodes:
        wrong = lowest if lowest < 0 else highest
        yield ValueError(
            f"'edge_index' must lie in [0, {num_nodes}) for the {num_nodes} rows of 'x', "
            f"got {wrong}"
        )


def _mask_shape_problems(data: Data) -> Iterator[ValueError | TypeError]:
    """Masks of a wrong type or shape."""
    num_nodes = data.x.size(0)
    for name in MASKS:
        mask = data[name]
        if mask.dtype != torch.bool:
            yield TypeError(f"'{name}' must have dtype torch.bool, got {mask.dtype}")
        elif mask.dim() not in (1, 2) or mask.size(0) != num_nodes:
            yield ValueError(
                f"'{name}' must have shape [{num_nodes}] or [{num_nodes}, S], "
                f"got {list(mask.shape)}"
            )
        elif mask.shape != data[MASKS[0]].shape:
            yield ValueError(
                f"'{name}' must have the shape of '{MASKS[0]}', {list(data[MASKS[0]].shape)}, "
                f"got {list(mask.shape)}"
            )


def _mask_problems(data: Data) -> Iterator[ValueError]:
    """Masks that are empty or overlap."""
    masks = {name: data[name].reshape(data.x.size(0), -1) for name in MASKS}
    where = " of split {}" if data[MASKS[0]].dim() == 2 else ""
    for name, mask in masks.items():
        empty = (~mask.any(dim=0)).nonzero().view(-1)
        if empty.numel() or not mask.size(1):
            at = where.format(empty[0].item()) if empty.numel() else ""
            yield ValueError(f"'{name}'{at} is empty, expected at least one node")
    names = list(masks)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = (masks[names[first]] & masks[names[second]]).nonzero()
        if len(both):
            node, column = both[0].tolist()
            yield ValueError(
                f"'{names[first]}' and '{names[second]}' overlap in {len(both)} node(s), the first "
                f"is node {node}{where.format(column)}; expected none"
            )


def _label_shape_problems(data: Data) -> Iterator[ValueError | TypeError]:
    """Labels of a wrong type or shape."""
    y, num_nodes = data.y, data.x.size(0)
    if y.is_floating_point():
        if y.dim() != 2 or y.size(0) != num_nodes:
            yield ValueError(
                f"'y' must have shape [{num_nodes}, T] when it has dtype {y.dtype} (several labels "
                f"per node) and an integer dtype otherwise, got {list(y.shape)}"
            )
    elif y.dtype == torch.bool:
        yield TypeError("'y' must have an integer or floating dtype, got torch.bool")
    elif y.dim() != 1 or y.size(0) != num_nodes:
        hint = ""
        if y.dim() == 2 and y.size(0) == num_nodes:
            hint = (
                "; for several labels per node give it a floating dtype, for one-hot rows use "
                "y.argmax(dim=1)"
            )
        yield ValueError(f"'y' must have shape [{num_nodes}], got {list(y.shape)}{hint}")


def _label_problems(data: Data) -> Iterator[ValueError]:
    """Labels inside the masks that no output of a model can stand for."""
    y, classes = data.y, data.get("num_classes")
    used = torch.stack([data[name].reshape(y.size(0), -1).any(dim=1) for name in MASKS]).any(dim=0)
    if y.is_floating_point():
        missing = y.isnan()
        wrong = used & (~(((y >= 0) & (y <= 1)) | missing).all(dim=1) | missing.all(dim=1))
        expected = "[0, 1]"
    else:
        wrong = used & ((y < 0) | (y >= classes if classes is not None else y < 0))
        expected = f"[0, {classes})" if classes is not None else "[0, number of classes)"
    if wrong.any():
        node = int(wrong.nonzero()[0])
        labels = y[node].view(-1).tolist()
        wild = [v for v in labels if not 0 <= v <= 1]
        got = next((v for v in wild if v == v), wild[0]) if y.dim() == 2 else labels[0]
        yield ValueError(
            f"'y' must lie in {expected} inside the masks, got {got} at node {node} "
            f"({int(wrong.sum())} such node(s))"
        )


def _differences(data: Data, card: Card, *, intact: bool) -> list[str]:
    """Counts that are not those of the form of the set that comes closest."""
    forms = [
        {f.name: want for f in fields(form) if (want := getattr(form, f.name)) is not None}
        for form in (card.statistics, *card.alternatives)
    ]
    found = _counts(data)
    if intact and any("self_loops" in form for form in forms):
        found["self_loops"] = int((data.edge_index[0] == data.edge_index[1]).sum())
    if intact and any("undirected" in form for form in forms):
        found["undirected"] = data.is_undirected()
    return min(
        (
            [
                f"{name}: expected {want}, got {found[name]}"
                for name, want in form.items()
                if name in found and found[name] != want
            ]
            for form in forms
        ),
        key=len,
    )


def _counts(data: Data) -> dict[str, int]:
    """Those counts that can be taken, whatever else is wrong with the graph."""
    found: dict[str, int] = {}
    if isinstance(x := data.get("x"), Tensor) and x.dim() == 2:
        found |= {"nodes": x.size(0), "features": x.size(1)}
    if isinstance(edge_index := data.get("edge_index"), Tensor) and edge_index.dim() == 2:
        found["edges"] = edge_index.size(1)
    if isinstance(y := data.get("y"), Tensor) and y.numel():
        found["classes"] = y.size(1) if y.dim() == 2 else int(y.max()) + 1
    return found


def _split_differences(data: Data, sizes: tuple[int, int, int] | None, count: int) -> list[str]:
    """Sizes and number of splits that are not those of the card."""
    masks = [data[name].reshape(data.x.size(0), -1) for name in MASKS]
    found = (
        [] if masks[0].size(1) == count else [f"splits: expected {count}, got {masks[0].size(1)}"]
    )
    if sizes is not None:
        found += [
            f"{name} (first split): expected {want} nodes, got {int(mask[:, 0].sum())}"
            for name, want, mask in zip(MASKS, sizes, masks, strict=True)
            if int(mask[:, 0].sum()) != want
        ]
    return found
