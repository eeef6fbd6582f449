"""Weights in a ``.safetensors`` file, checked before they reach a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from graphattn._core.files import read_regular_file, write_atomically

__all__ = ["check_weights", "read_weights", "write_weights"]


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors by name, whole or not at all.

    Args:
        path: The file.
        weights: Tensors that share no memory, as in a cloned ``state_dict``.

    Raises:
        OSError: If the file can't be written.
    """
    content = safetensors.torch.save({name: t.cpu().contiguous() for name, t in weights.items()})
    write_atomically(path, lambda file: file.write(content))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read what :func:`write_weights` wrote.

    Args:
        path: The file.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        OSError: If there is no such file or it can't be read.
        ValueError: If the file is truncated or not of this format.
    """
    content = read_regular_file(path)
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is truncated or no safetensors file ({len(content)} bytes): {error}"
        ) from error


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: object) -> None:
    """See that weights belong to a model, before any of them is copied.

    Args:
        model: The model that shall take them.
        weights: Tensors by name.
        source: Where they come from, for the error.

    Raises:
        ValueError: If names or shapes differ, kinds of numbers do, or a parameter is not finite;
            the text says which.
    """
    own = {
        name: None if is_lazy(t) else list(t.shape)
        for name, t in model.state_dict(keep_vars=True).items()
    }
    differences = [f"the model has no {name!r}" for name in weights if name not in own]
    for name, shape in own.items():
        if name not in weights:
            differences.append(f"{name!r} is missing in the file")
        elif shape is not None and shape != (given := list(weights[name].shape)):
            differences.append(f"{name!r} is {given} in the file, {shape} in the model")
    if differences:
        more = f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise ValueError(
            f"{source} holds weights of another model than this {type(model).__name__}: "
            f"{'; '.join(differences[:5])}{more}"
        )
    _check_values(model, weights, source=source)


def _check_values(model: nn.Module, weights: Mapping[str, Tensor], *, source: object) -> None:
    """See that weights of the right shapes are numbers that can be computed with."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, own in model.state_dict().items():
        weight = weights[name]
        kinds = [(t.layout, t.is_floating_point(), t.is_complex()) for t in (weight, own)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{source} must hold {name!r} as {own.layout}, {own.dtype}, got {weight.layout}, "
                f"{weight.dtype}"
            )
        # A buffer, such as a mask of a user's model, may well be infinite.
        if name in parameters and not torch.isfinite(weight).all():
            raise ValueError(f"{source} must hold finite weights, but {name!r} has NaN or infinity")
