from __future__ import annotations

import signal
import threading

import pytest

from graphattn.train.interrupt import deferred_interrupt


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_is_noted_and_raised_on_leaving() -> None:
    noted = []

    def work() -> None:
        with deferred_interrupt() as stop:
            noted.append(stop.requested)
            press()
            noted.append(stop.requested)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert noted == [False, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_raises_at_once() -> None:
    reached = []

    def work() -> None:
        with deferred_interrupt():
            press()
            reached.append(1)
            press()
            reached.append(2)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == [1]


def test_without_one_nothing_is_raised_and_the_handler_comes_back() -> None:
    with deferred_interrupt():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_error_is_not_hidden() -> None:
    def work() -> None:
        with deferred_interrupt():
            press()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_when_not_enabled_it_raises_at_once() -> None:
    reached = []

    def work() -> None:
        with deferred_interrupt(enabled=False):
            press()
            reached.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == []


def test_a_program_that_ignores_it_keeps_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as stop:
            press()
            assert not stop.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_works_in_a_thread() -> None:
    done = []

    def work() -> None:
        with deferred_interrupt():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
