"""Graph attention on PyTorch Geometric: layers, models, recipes and attention analysis.

Importing ``graphattn`` loads neither torch nor torch_geometric; the sub-packages do.

- :mod:`graphattn.nn`: layers to use in PyG models (``GATConv``, ``GATv2Conv``,
  ``TransformerConv``, ``AEROConv``).
- :mod:`graphattn.models`: whole networks (``GAT``, ``GATv2``).
- :mod:`graphattn.ops`: the functions on tensors that the layers are made of.
- :mod:`graphattn.data`: data sets by name, checked against their cards.
- :mod:`graphattn.train`: the training loop and its run folders.
- :mod:`graphattn.recipes`: experiments with their published numbers.
"""

__version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Slow to import, and `graphattn --help` has no use for it.
    from importlib.metadata import version

    return version("graphattn")
