"""Optional packages: imported where they are needed, with an error that names the extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["require"]


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: Name to import.
        extra: The extra of ``graphattn`` that installs it.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed; the text says which command installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"'{module}' is not installed; run: pip install 'graphattn[{extra}]'"
        ) from error
