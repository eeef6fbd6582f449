"""Weights in a ``.safetensors`` file, checked before they reach a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from graphattn._core.files import write_atomically

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
    content = path.read_bytes()
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
        ValueError: If names or shapes differ; the text says which.
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
