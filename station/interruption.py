"""Ctrl-C, SIGTERM and SIGHUP: taken at the next safe point of a job instead of in the middle of a gradient step.

Whatever ends because of one leaves the exit code that a shell reports of a program which the signal killed: 128 and
the signal's number.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Those that ask a process to end."""


@contextmanager
def deferred() -> Iterator[Callable[[], signal.Signals | None]]:
    """Within it a first signal only makes the yielded function return it; a second one interrupts at once.

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
    """Let a polite signal end this process: what is safe on disk stays, exit code as `exit_code` says.

    Scripts start background jobs with SIGINT ignored; asked for by name, it is meant all the same. A SIGHUP that
    ``nohup`` has set aside stays set aside.
    """
    if threading.current_thread() is threading.main_thread():
        for number in heard():
            signal.signal(number, _interrupt)


def heard() -> tuple[signal.Signals, ...]:
    """The signals that this process obeys: all of `SIGNALS`, but no SIGHUP that it was started to ignore."""
    ignores = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(number for number in SIGNALS if number is not signal.SIGHUP or not ignores)


def interruption(number: int) -> KeyboardInterrupt:
    """To be raised because of this signal; `signal_of` tells it again."""
    return KeyboardInterrupt(signal.Signals(number))


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """The signal behind an interruption; Python's own is SIGINT's."""
    number = error.args[0] if error.args else signal.SIGINT
    return number if isinstance(number, signal.Signals) else signal.SIGINT


def exit_code(number: int) -> int:
    """What a process leaves that a signal ended, politely or not."""
    return 128 + number


def ended_by(code: int | None) -> signal.Signals | None:
    """The signal of an exit code, a shell's or (negative) `subprocess`'s; None where none asked to end."""
    numbers = {form: number for number in SIGNALS for form in (exit_code(number), -number)}
    return numbers.get(code) if code is not None else None


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise interruption(number)
