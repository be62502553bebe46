"""Ctrl-C reaches the run, also where somebody swallowed Python's own exception."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from plaudit.run.interrupt import ctrl_c
from plaudit.signals import STOPPING, stop_as_ctrl_c


def test_a_swallowed_interrupt_is_raised_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ctrl_c() as check:
        check()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is before


def test_it_can_wait_for_the_step_but_once() -> None:
    with ctrl_c(at_once=False) as check:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_another_thread_leaves_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def body() -> None:
        with ctrl_c() as check:
            check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("number", STOPPING)
def test_a_supervisor_s_signal_counts_as_ctrl_c(number: int) -> None:
    before = signal.getsignal(number)
    with ctrl_c(at_once=False) as check:
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(number) is before


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ctrl_c() as check:
            signal.raise_signal(signal.SIGHUP)
            check()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", STOPPING)
def test_the_process_ends_by_the_first_signal_when_its_files_are_closed(number: int) -> None:
    closed, handled = [], []
    before = signal.signal(number, lambda *_: handled.append(number))
    try:
        with pytest.raises(KeyboardInterrupt), stop_as_ctrl_c():
            try:
                signal.raise_signal(number)
            finally:
                signal.raise_signal(number)  # an impatient supervisor does not interrupt the closing of files
                closed.append(number)
        assert closed == handled == [number]
    finally:
        signal.signal(number, before)
