"""Data sets by name, each checked against its card, and a generator of synthetic graphs.

``load("cora")`` gives a PyG ``Data``, ``load("folder/of/mine")`` one of your own files;
``card("cora")`` says what it is, where it comes from and
what its licence allows. Importing this package loads neither torch nor torch_geometric.
"""

from typing import TYPE_CHECKING

from graphattn._core.lazy import lazy_exports

if TYPE_CHECKING:
    from graphattn.data._card import Card, card, cards
    from graphattn.data._files import fingerprint, own_path
    from graphattn.data._load import load
    from graphattn.data._own import read_graph
    from graphattn.data._splits import random_split, select_split
    from graphattn.data._tidy import notice_one_way, tidy
    from graphattn.data.check import check_card, check_data, check_files
    from graphattn.data.synthetic import csbm
    from graphattn.data.transforms import NormalizeFeatures, SparseFeatures

__all__ = [
    "Card",
    "NormalizeFeatures",
    "SparseFeatures",
    "card",
    "cards",
    "check_card",
    "check_data",
    "check_files",
    "csbm",
    "fingerprint",
    "load",
    "notice_one_way",
    "own_path",
    "random_split",
    "read_graph",
    "select_split",
    "tidy",
]

# `card` and `load` can't be names of modules here: an imported module would hide the function.
__getattr__ = lazy_exports(
    __name__,
    {
        "Card": "_card",
        "NormalizeFeatures": "transforms",
        "SparseFeatures": "transforms",
        "card": "_card",
        "cards": "_card",
        "check_card": "check",
        "check_data": "check",
        "check_files": "check",
        "csbm": "synthetic",
        "fingerprint": "_files",
        "load": "_load",
        "notice_one_way": "_tidy",
        "own_path": "_files",
        "random_split": "_splits",
        "read_graph": "_own",
        "select_split": "_splits",
        "tidy": "_tidy",
    },
)
