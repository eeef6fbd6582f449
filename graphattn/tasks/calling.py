"""Calling a model on a batch by the names in its ``forward``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import Sequential

__all__ = ["Batch", "call_model", "rows_of", "takes"]

Batch: TypeAlias = Data | HeteroData
"""A graph, a sampled part of one, or several graphs."""

# A batch has these, but they are not inputs: `batch_size` counts the seeds of a sampled batch there
# and the graphs in PyG's models, and what a model shall say is not told to it.
_NOT_INPUTS = ("y", "batch_size", "train_mask", "val_mask", "test_mask")
_GRAPH = ("x", "x_dict", "edge_index", "edge_index_dict", "adj_t")


def call_model(model: nn.Module, batch: Batch) -> Any:
    """Call a model on a batch, with the attributes that its ``forward`` names.

    A parameter gets the attribute of its name: ``x``, ``edge_index``, ``edge_attr``,
    ``edge_weight``, ``batch``, ``x_dict``, ``edge_index_dict``, or one of the caller's own.
    ``data`` (and ``batch``, where the model asks for neither features nor edges) is the batch
    itself. On a :class:`~torch_geometric.data.HeteroData`, ``x`` is the dictionary ``x_dict``.
    Parameters with a default keep it if the batch has no such attribute; labels and masks are never
    given. A ``forward(*args, **kwargs)`` gets ``x`` and ``edge_index``, and ``edge_attr`` by name
    where the graph has one.

    Args:
        model: The model; wrappers of ``torch.compile``, Fabric and DDP are looked through.
        batch: The graph, a sampled part of it, or several graphs.

    Returns:
        What the model returns.

    Raises:
        ValueError: If ``forward`` needs something that the batch does not have.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.ones(3, 4), edge_index=torch.tensor([[0, 1], [1, 2]]))
        >>> call_model(GCN(4, 8, num_layers=2, out_channels=5), data).shape
        torch.Size([3, 5])
    """
    positional: list[Any] = []
    named: dict[str, Any] = {}
    parameters = _parameters_of(model)
    names = [parameter.name for parameter in parameters]
    for place, (name, required, by_name) in enumerate(parameters):
        value = _input(name, batch, names)
        if value is None:
            if required:
                raise _missing(name, model, batch)
        elif by_name or len(positional) < place:
            named[name] = value
        else:
            positional.append(value)  # hooks of torch see these only
    return model(*positional, **named)


def takes(model: nn.Module, name: str) -> bool:
    """Whether the ``forward`` of a model names an input."""
    return any(parameter.name == name for parameter in _parameters_of(model))


class _Parameter(NamedTuple):
    name: str
    required: bool
    by_name: bool
    """Whether it can only be given by name."""


# What a `forward` that names nothing is given; `**kwargs` stands for the last of them.
_USUAL = (
    _Parameter("x", True, False),
    _Parameter("edge_index", True, False),
    _Parameter("edge_attr", False, True),
)


def _parameters_of(model: Callable[..., Any]) -> tuple[_Parameter, ...]:
    """The inputs of a model."""
    while True:
        if isinstance(model, Sequential):  # PyG's, which is told its arguments as a text
            return tuple(_Parameter(name, True, False) for name in model.signature.param_dict)
        forward = getattr(model, "forward", model)
        function = getattr(forward, "__func__", forward)
        found = _signature(function, bound=function is not forward)
        says_nothing = not found or found == _USUAL[2:]
        inner = getattr(
            model, "_orig_mod", getattr(model, "module", None) if says_nothing else None
        )
        if inner is None:
            return _USUAL if says_nothing else found
        model = inner


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any], *, bound: bool) -> tuple[_Parameter, ...]:
    """The named parameters of a function, without the `self` of a method."""
    parameters = list(inspect.signature(function).parameters.values())[int(bound) :]
    found = [
        _Parameter(p.name, p.default is p.empty, p.kind is p.KEYWORD_ONLY)
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if takes_any and not any(parameter.name == "edge_attr" for parameter in found):
        found.append(_USUAL[2])
    return tuple(found)


def _input(name: str, batch: Batch, names: list[str]) -> Any:
    """What a batch has for a parameter, or `None`."""
    if name == "data" or (name == "batch" and not any(graph in names for graph in _GRAPH)):
        return batch
    if name in _NOT_INPUTS:
        return None
    if isinstance(batch, HeteroData):
        return _of_types(name, batch)
    value = batch.get(name)
    return batch.get("adj_t") if value is None and name == "edge_index" else value


def _of_types(name: str, batch: HeteroData) -> dict[Any, Any] | None:
    """An attribute of all node or edge types that have it."""
    found = batch.collect(name.removesuffix("_dict"), allow_empty=True)
    if not found and name.removesuffix("_dict") == "edge_index":
        found = batch.collect("adj_t", allow_empty=True)
    return found or None


def _missing(name: str, model: nn.Module, batch: Batch) -> ValueError:
    kind = type(model).__name__
    if name in _NOT_INPUTS:
        return ValueError(
            f"'forward' of {kind} needs {name!r}, which is not given to models; give the task a "
            "'call' that calls this model"
        )
    has = sorted({key for store in batch.stores for key in store if key not in _NOT_INPUTS})
    return ValueError(
        f"'forward' of {kind} needs {name!r}, but the batch has only {', '.join(map(repr, has))} "
        "(and 'data', the batch itself); rename one of them, or give the task a 'call'"
    )


def rows_of(out: Any, node_type: str | None) -> Tensor:
    """The output for one node type, of a model that gives a dictionary of them.

    Raises:
        TypeError: If it is no tensor, or there is none of this type.
    """
    if isinstance(out, dict) and node_type is not None:
        if node_type not in out:
            raise TypeError(f"'model' must give an output for {node_type!r}, got {sorted(out)}")
        out = out[node_type]
    if not isinstance(out, Tensor):
        raise TypeError(f"'model' must give a tensor, got {type(out).__name__}")
    return out
