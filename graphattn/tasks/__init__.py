"""What a model is trained for: how it is called, what is right, and what is counted."""

from typing import TYPE_CHECKING

from graphattn._core.lazy import lazy_exports

if TYPE_CHECKING:
    from graphattn.tasks.calling import call_model
    from graphattn.tasks.guessing import make_task
    from graphattn.tasks.task import GraphTask, LinkTask, NodeTask, Task

__all__ = ["GraphTask", "LinkTask", "NodeTask", "Task", "call_model", "make_task"]

__getattr__ = lazy_exports(
    __name__,
    {
        "GraphTask": "task",
        "LinkTask": "task",
        "NodeTask": "task",
        "Task": "task",
        "call_model": "calling",
        "make_task": "guessing",
    },
)
