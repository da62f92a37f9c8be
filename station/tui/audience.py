"""Whether anyone can see this terminal: tmux and GNU screen keep it alive with no client attached.

It can tell whether a client shows this window, not whether a person sits in front of that
client. Runs in its own thread, so a hung multiplexer delays no key. Knows no screen.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.5
"""s between checks."""
_PATIENCE = 2.0
"""s that tmux has to answer."""


@dataclass(frozen=True, kw_only=True)
class Audience:
    """What is known about who is watching."""

    anybody: bool = True
    """False if it is certain that no one can see this terminal."""
    remark: str = ""
    """What the operator should know: who is missing, or why that is unknown."""


Look = Callable[[], Audience]

_BLIND = {
    "zellij": "zellij",
    "mosh-server": "mosh",
    "dtach": "dtach",
    "abduco": "abduco",
    "etterminal": "Eternal Terminal",
    "shpool": "shpool",
}
"""Process -> program that keeps a terminal alive and does not report whether anyone is attached."""


_VARIABLES = {"tmux": "TMUX", "GNU screen": "STY"}


def somebody() -> Audience:
    """A terminal that closes with its window."""
    return Audience()


def unknown(what: str) -> Audience:
    """Where it cannot be determined."""
    return Audience(remark=f"{what} does not tell whether anybody looks: before you turn away, stop the arm.")


def browser() -> Audience:
    """Behind `station serve`: a closed tab ends its screen; a hidden one goes unnoticed."""
    return unknown("A browser's tab")


def choose(environment: Mapping[str, str], ancestors: Sequence[str]) -> Look:
    """Choose the check for this terminal; `ancestors` are the names of the parent processes, nearest first."""
    if "TEXTUAL_DRIVER" in environment:
        return browser
    kinds = [*(_kind(name) for name in ancestors), "zellij" if "ZELLIJ" in environment else ""]
    # behind sudo or in a container, only the environment may show it
    kinds += [kind for kind, variable in _VARIABLES.items() if environment.get(variable)]
    kind = next(filter(None, kinds), "")
    if kind == "tmux":
        return lambda: _nested(tmux(environment), environment.get("STY"), "tmux within GNU screen")
    if kind == "GNU screen":
        return lambda: _nested(screen(environment), environment.get("TMUX"), "GNU screen within tmux")
    return (lambda: unknown(kind)) if kind else somebody


def _kind(process: str) -> str:
    """The program that keeps a terminal alive, by process name; empty for any other."""
    if process.startswith("tmux"):
        return "tmux"
    return "GNU screen" if process.lower() == "screen" else _BLIND.get(process, "")


def _nested(found: Audience, other: str | None, both: str) -> Audience:
    """The multiplexer around this one may be detached while a client shows the inner one."""
    return unknown(both) if other and found.anybody and not found.remark else found


def tmux(environment: Mapping[str, str]) -> Audience:
    """Asks the server whether a client shows the window of this pane."""
    server, pane = (
        environment.get("TMUX", "").rpartition(",")[0].rpartition(",")[0],
        environment.get("TMUX_PANE"),
    )
    if not server or not pane:
        return unknown("tmux (of which TMUX and TMUX_PANE are not set here)")
    words = ["tmux", "-S", server, "display-message", "-p", "-t", pane]
    try:
        answer = subprocess.run(
            [*words, "#{session_attached},#{window_active_clients},#{session_name}"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return unknown("tmux (which gave no answer)")
    attached, _, rest = answer.partition(",")
    showing, _, name = rest.partition(",")
    if attached == "0":
        return Audience(
            anybody=False,
            remark=f"Nobody is attached to tmux session {name}: a real arm stays braked until somebody is.",
        )
    # before 3.1, tmux does not say which window a client shows
    if showing == "0":
        return Audience(
            anybody=False,
            remark=f"No client of tmux session {name} shows this window: a real arm stays braked until one does.",
        )
    return Audience()


def screen(environment: Mapping[str, str]) -> Audience:
    """GNU screen marks the socket of an attached session as executable."""
    session = environment.get("STY", "")
    for socket in _sockets(session, environment) if session else ():
        with suppress(OSError):
            if socket.stat().st_mode & stat.S_IXUSR:
                return Audience()
            return Audience(
                anybody=False,
                remark=f"Nobody is attached to screen session {session}: a real arm stays braked until somebody is.",
            )
    return unknown("GNU screen (whose socket is not where it usually is)")


def _sockets(session: str, environment: Mapping[str, str]) -> list[Path]:
    user = environment.get("USER") or environment.get("LOGNAME") or str(os.getuid())
    named = environment.get("SCREENDIR")
    rooms = [Path(named)] if named else []
    rooms += [
        Path(f"{root}/S-{user}")
        for root in ("/run/screen", "/var/run/screen", "/tmp/screens", "/tmp/uscreens")
    ]
    return [
        room / session
        for room in [*rooms, Path.home() / ".screen", Path(tempfile.gettempdir()) / f"S-{user}"]
    ]


def ancestors() -> list[str]:
    """The names of the parent processes, nearest first."""
    with suppress(psutil.Error, OSError):
        return [process.name() for process in psutil.Process().parents()]
    return []


class Lookout:
    """Checks periodically and caches the answer."""

    def __init__(self, look: Look | None = None, *, every: float = EVERY) -> None:
        """`look`: the check; default: for this process's terminal. Nothing runs before `start`."""
        self._look = look or choose(os.environ, ancestors())
        self._every = every
        self._closed = threading.Event()
        self.newest = Audience()

    def start(self) -> None:
        """Start checking; without anything to ask, no thread is started."""
        if self._look is not somebody:
            threading.Thread(target=self._run, name="audience", daemon=True).start()

    def close(self) -> None:
        """Stop checking."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self.newest = self._look()
            self._closed.wait(self._every)
