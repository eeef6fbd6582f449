"""Ctrl-C that waits for a good moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupt", "deferred_interrupt"]


class Interrupt:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextmanager
def deferred_interrupt(*, enabled: bool = True) -> Iterator[Interrupt]:
    """Note the first Ctrl-C instead of raising at once; the second one raises where it comes.

    On leaving, a noted one is raised after all, so none is lost. Nothing changes outside the main
    thread (where Python delivers no signals) or when the program handles SIGINT in its own way.

    Args:
        enabled: Whether to do anything at all.

    Yields:
        An object whose ``requested`` turns true.

    Raises:
        KeyboardInterrupt: On leaving, if one was noted.
    """
    interrupt = Interrupt()
    main = threading.current_thread() is threading.main_thread()
    if not enabled or not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return

    def note(_signal: int, _frame: FrameType | None) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupt.requested:
        raise KeyboardInterrupt
