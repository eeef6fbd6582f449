"""The shape of the package: tests mirror modules, imports stay light, docstrings run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pytest
import torch

import graphattn

TESTS = Path(__file__).parent
PACKAGE = Path(graphattn.__file__).parent
# The native library looks like an extension module; kernels import triton, which need not be there.
LEFT_OUT: tuple[str, ...] = ("libgraphattn",)
if find_spec("triton") is None:
    LEFT_OUT += ("gpu_kernels", "gpu_scores")
MODULES = sorted(
    module.name
    for module in walk_packages(graphattn.__path__, prefix="graphattn.")
    if not any(name in module.name for name in LEFT_OUT)
)
# Ops are packages of one function: their test stands beside those of the other ops.
FORMS = ("reference", "scatter")
OPS = tuple(name for name in MODULES if any(f"{name}.{form}" in MODULES for form in FORMS))

# What several ops share is tested as one, too.
SHARED = ("graphattn.ops._native",)


def place_of(name: str) -> Path | None:
    """Where the tests of a module stand; `None` for packages and for what an op's test covers."""
    *folders, last = name.split(".")[1:]
    if name in OPS or name in SHARED:
        return TESTS.joinpath(*folders, f"test_{last.strip('_')}.py")
    if name.startswith((*OPS, *SHARED)) or hasattr(import_module(name), "__path__"):
        return None
    return TESTS.joinpath(*(folder.strip("_") for folder in folders), f"test_{last.strip('_')}.py")


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_its_test(name: str) -> None:
    path = place_of(name)
    assert path is None or path.exists()


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(import_module(name), extraglobs={"torch": torch})
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_public_names_exist(name: str) -> None:
    module = import_module(name)
    assert all(hasattr(module, public) for public in getattr(module, "__all__", ()))


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


ROOMS = sorted(path.parent.name for path in PACKAGE.glob("[!_]*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_need_no_import_of_their_own(room: str) -> None:
    module = import_module(f"graphattn.{room}")
    assert room in dir(graphattn)
    assert graphattn.__getattr__(room) is module
    assert set(module.__all__) <= set(dir(module))


def test_a_layer_after_the_import_of_the_package_alone() -> None:
    assert run_python("import graphattn; print(graphattn.nn.GATConv(8, 4))") == "GATConv(8, 4)"


def test_other_names_are_no_attributes() -> None:
    for name in ("no_such_room", "_core", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'graphattn' has no attribute '{name}'"):
            graphattn.__getattr__(name)
    assert "_core" not in graphattn._packages()
    assert "__version__" in dir(graphattn)


@pytest.mark.parametrize(
    "package",
    [
        "graphattn",
        "graphattn.cli",
        "graphattn.data",
        "graphattn.models",
        "graphattn.recipes",
        "graphattn.train",
    ],
)
def test_imports_no_torch(package: str) -> None:
    code = (
        f"import sys, {package}; "
        "print(*(name for name in ('torch', 'torch_geometric', 'pandas') if name in sys.modules))"
    )
    assert run_python(code) == ""
    # Nor does looking at what there is.
    assert run_python(code.replace("print", f"dir({package}); print")) == ""
