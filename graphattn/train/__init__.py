"""The training loop, its configuration, and the folder that holds all of a run.

It takes any module and any PyG ``Data`` with masks, or batches; it knows no model and no data set
by name.
"""

from typing import TYPE_CHECKING

from graphattn._core.lazy import lazy_exports

if TYPE_CHECKING:
    from graphattn.train.config import TrainConfig
    from graphattn.train.evaluation import evaluate
    from graphattn.train.loop import fit
    from graphattn.train.ranks import RankSampler
    from graphattn.train.report import Report
    from graphattn.train.run_folder import RunFolder

__all__ = ["RankSampler", "Report", "RunFolder", "TrainConfig", "evaluate", "fit"]

# No module here may be called `fit` or `evaluate`: importing it would bind the module to the name.
__getattr__ = lazy_exports(
    __name__,
    {
        "RankSampler": "ranks",
        "Report": "report",
        "RunFolder": "run_folder",
        "TrainConfig": "config",
        "evaluate": "evaluation",
        "fit": "loop",
    },
)
