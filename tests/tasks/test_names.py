from __future__ import annotations

import subprocess
import sys
from typing import get_args

from graphattn.tasks.labels import LABELS
from graphattn.tasks.names import LabelName, MetricName


def test_the_names_are_those_that_exist() -> None:
    assert set(get_args(LabelName)) == set(LABELS)
    assert set(get_args(MetricName)) == {m for kind in LABELS.values() for m in kind.metrics}


def test_importing_them_loads_no_torch() -> None:
    code = "import sys, graphattn.tasks.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
