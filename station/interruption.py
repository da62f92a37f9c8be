"""Ctrl-C, SIGTERM and SIGHUP: handled at the next safe point of a job instead of in the middle of a gradient step.

A process that ends because of one exits with the code that a shell reports for a killed program: 128 plus
the signal's number.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a process to end."""


@contextmanager
def deferred() -> Iterator[Callable[[], signal.Signals | None]]:
    """Within the context, the yielded function returns a first signal; a second one interrupts at once.

    Outside the main thread, where Python delivers no signals, nothing is deferred.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked: signal.Signals | None = None

    def remember(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked is not None:
            raise interruption(number)
        asked = signal.Signals(number)

    before = {number: signal.signal(number, remember) for number in heard()}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interruptible() -> None:
    """Let a termination signal end this process, with the exit code of `exit_code`; finished work stays on disk.

    Scripts start background jobs with SIGINT ignored; it is enabled here anyway. A SIGHUP that
    ``nohup`` ignores stays ignored.
    """
    if threading.current_thread() is threading.main_thread():
        for number in heard():
            signal.signal(number, _interrupt)


def heard() -> tuple[signal.Signals, ...]:
    """The signals that this process obeys: all of `SIGNALS`, but no SIGHUP that it was started to ignore."""
    ignores = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(number for number in SIGNALS if number is not signal.SIGHUP or not ignores)


def interruption(number: int) -> KeyboardInterrupt:
    """The exception to raise for this signal; `signal_of` recovers it."""
    return KeyboardInterrupt(signal.Signals(number))


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """The signal behind an interruption; Python's own is SIGINT's."""
    number = error.args[0] if error.args else signal.SIGINT
    return number if isinstance(number, signal.Signals) else signal.SIGINT


def exit_code(number: int) -> int:
    """Exit code of a process ended by a signal."""
    return 128 + number


def ended_by(code: int | None) -> signal.Signals | None:
    """The signal behind an exit code, a shell's or (negative) `subprocess`'s; None if it was not a request to end."""
    numbers = {form: number for number in SIGNALS for form in (exit_code(number), -number)}
    return numbers.get(code) if code is not None else None


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise interruption(number)
