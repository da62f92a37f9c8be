"""Starts commands and engines by forking a process that has loaded everything: many lives in little time.

The forked processes do what those of ``python -m`` do, but for loading modules; signals, locks, sockets and folders are
the same. The parent must start no threads of its own before it forks, nor let torch compute.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

ENGINE = "station.session.engine"
_POLL = 0.02


class Forked:
    """As much of `subprocess.Popen` as the station and the benchmarks use of it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be(work)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(_POLL)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _be(work: Callable[[], object]) -> None:
    """Do the work, and end this process with its exit code."""
    code: object = 1
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = work()
    except SystemExit as leaving:
        code = leaving.code
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(int(code) if isinstance(code, int) else 0 if code is None else 1)


def load_everything() -> None:
    """What an engine and a command import."""
    import rich.progress  # noqa: F401

    import station.cli
    import station.jobs.headless
    import station.session.engine.factory
    import station.session.engine.launch
    import station.tui.app
    import station.tui.engines  # noqa: F401


def in_terminal(words: Sequence[str], terminal: int) -> Forked:
    """``station WORDS`` with this pseudo-terminal as its own, which goes when the other end is closed."""

    def work() -> None:
        from station.__main__ import main

        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for number in range(3):
            os.dup2(terminal, number)
        os.closerange(3, terminal + 64)
        os.environ["TERM"] = "xterm-256color"
        sys.stdin, sys.stdout, sys.stderr = (open(n, mode, buffering=1) for n, mode in enumerate("rww"))  # noqa: SIM115, PTH123
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc, assignment]
        sys.argv = ["station", *words]
        main()

    return Forked(work)


def command(words: Sequence[str], said: Path, prepare: Callable[[], None]) -> Forked:
    """``station WORDS``; its engines are forked as well, and begin with `prepare`."""

    def work() -> None:
        from station.__main__ import main
        from station.session.engine import spawn

        _redirect(said)
        starter = SimpleNamespace(
            Popen=lambda line, **given: _engine(line, prepare, **given), DEVNULL=subprocess.DEVNULL
        )
        setattr(spawn, "subprocess", starter)  # noqa: B010 - mypy will not have a module replaced
        sys.argv = ["station", *words]
        main()

    return Forked(work)


def _redirect(said: Path) -> None:
    with said.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _engine(
    line: Sequence[str],
    prepare: Callable[[], None],
    *,
    stdout: IO[bytes],
    env: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    **_: Any,
) -> Forked:
    def work() -> object:
        from station.session.engine.launch import main

        os.setsid()
        os.dup2(stdout.fileno(), 1)
        os.dup2(stdout.fileno(), 2)
        kept = {0, 1, 2, *pass_fds}
        for each in [*Path("/proc/self/fd").iterdir()]:
            if int(each.name) not in kept:
                with suppress(OSError):
                    os.close(int(each.name))
        os.environ.clear()
        os.environ.update(env)
        prepare()
        return main(line[line.index(ENGINE) + 1 :])

    return Forked(work)
