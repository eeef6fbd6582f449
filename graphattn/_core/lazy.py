"""Sub-packages whose names load on first use, so that ``--help`` need not import torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["lazy_exports"]


def lazy_exports(package: str, exports: Mapping[str, str]) -> Callable[[str], object]:
    """Make the ``__getattr__`` of a package that imports a name's module when it is asked for.

    The package also gets a ``__dir__`` that knows all names, for completion in shells.

    Args:
        package: ``__name__`` of the package, which is being imported.
        exports: Module inside the package for every public name.

    Returns:
        A function to bind to ``__getattr__`` in the package's ``__init__.py``. Repeat the imports
        under ``if TYPE_CHECKING:`` there, for type checkers and readers.
    """
    namespace = vars(sys.modules[package])

    def getattr_(name: str) -> object:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{exports[name]}"), name)

    def dir_() -> list[str]:
        return sorted({*namespace, *exports})

    namespace["__dir__"] = dir_
    return getattr_
