"""Graph attention on PyTorch Geometric: layers, models, recipes and attention analysis.

Importing ``graphattn`` loads neither torch nor torch_geometric; the sub-packages do, each when it
is first used: ``import graphattn; graphattn.nn.GATConv`` needs no further import.

- :mod:`graphattn.nn`: layers to use in PyG models (``GATConv``, ``GATv2Conv``,
  ``TransformerConv``, ``AEROConv``).
- :mod:`graphattn.models`: whole networks (``GAT``, ``GATTuned``, ``AEROGNN``).
- :mod:`graphattn.ops`: the functions on tensors that the layers are made of.
- :mod:`graphattn.sampling`: mini-batches of large graphs.
- :mod:`graphattn.data`: data sets by name, checked against their cards.
- :mod:`graphattn.train`: the training loop and its run folders.
- :mod:`graphattn.calibration`: probabilities that can be trusted, and how far they can be.
- :mod:`graphattn.viz`: figures of what other rooms compute.
- :mod:`graphattn.recipes`: experiments with their published numbers.
- :mod:`graphattn.bench`: measurements against peers.
"""

from typing import Any

__version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # Slow to import, and `graphattn --help` has no use for it.
        from importlib.metadata import version

        return version("graphattn")
    if name in _packages():
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "__version__", *_packages()})


def _packages() -> list[str]:
    """Names of the public sub-packages."""
    from pkgutil import iter_modules

    return [one.name for one in iter_modules(__path__) if one.ispkg and one.name[0] != "_"]
