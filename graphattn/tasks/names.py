"""Names of kinds of labels and of metrics; free of torch, so that ``--help`` is fast."""

from __future__ import annotations

from typing import Literal

__all__ = ["LabelName", "MetricName"]

LabelName = Literal["multiclass", "binary", "multilabel"]
"""One of several classes; yes or no; yes or no to several questions."""

MetricName = Literal["accuracy", "roc_auc", "average_precision", "f1", "micro_f1", "macro_f1"]
"""More is better in all of them."""
