"""A real UI in a tmux of its own, before somebody's eyes, and how its text is read."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path

COLUMNS, ROWS = 150, 45
BADGES = (
    *("MOVING", "EVALUATING", "LABEL", "LEARNING", "SAVING", "HOMING", "CHECKING"),
    *("READY", "PAUSED", "FAULT", "FINISHED", "STOPPED", "STARTING", "SILENT", "NO ENGINE", "LOOKING"),
)
_BADGE = re.compile(rf"^\s+({'|'.join(BADGES)})\s")
_EPISODE = re.compile(r"(?:online|evaluation)-\d{6}")
_TOLD = r"(?:taken|acknowledged|no answer yet|not now|not sent)"
SHOWN = {"C-r": "^r", "C-k": "^k", "C-x": "x", "Enter": "enter", "Up": "up", "Tab": "tab", "X": "x", "R": "r"}
"""Keys of tmux -> how the screen spells them, where that differs."""


class Tmux:
    """A server of its own; nobody else's sessions are touched."""

    def __init__(self, name: str) -> None:
        """`name` is its socket's."""
        self.name = name

    def __call__(self, *words: str) -> str:
        """What tmux answers; empty where it refuses."""
        command = ["tmux", "-L", self.name, *words]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout


class Screen:
    """One UI, in a session to which a client is attached: one to which none is counts as nobody."""

    def __init__(self, tmux: Tmux, name: str, words: list[str]) -> None:
        """`words` are those behind ``station``."""
        self.name, self.held, self._tmux = name, False, tmux
        environment = f"PYTHONPATH={shlex.quote(str(Path.cwd()))} OMP_NUM_THREADS=1"
        self._command = f"{environment} {shlex.join([sys.executable, '-m', 'station', *words])}; sleep 100000"
        tmux("new-session", "-d", "-s", name, "-x", str(COLUMNS), "-y", str(ROWS), self._command)
        self._somebody, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS + 1, COLUMNS, 0, 0))
        environ = {**os.environ, "TERM": "xterm-256color"}
        self._client = subprocess.Popen(
            ["tmux", "-L", tmux.name, "attach", "-t", name],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ,
        )
        os.close(theirs)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        with suppress(OSError):
            while os.read(self._somebody, 1 << 16):
                pass

    def text(self) -> str:
        """What is on it now."""
        return self._tmux("capture-pane", "-p", "-t", self.name)

    def type(self, key: str) -> None:
        """One key, in tmux's spelling."""
        self._tmux("send-keys", "-t", self.name, key)

    def pid(self) -> int | None:
        """Of the UI; None once it has ended."""
        shell = self._tmux("display", "-p", "-t", self.name, "#{pane_pid}").strip()
        if not shell:
            return None
        found = subprocess.run(
            ["pgrep", "-P", shell, "-f", "station"], check=False, capture_output=True, text=True
        )
        return int(found.stdout.split()[0]) if found.stdout.split() else None

    def again(self) -> None:
        """Open the UI once more."""
        self._tmux("respawn-pane", "-k", "-t", self.name, self._command)

    def close(self) -> None:
        """End the UI and its tmux session."""
        self._tmux("kill-session", "-t", self.name)
        self._client.wait(10.0)


def headline(text: str) -> str:
    """What the session's screen says between its title and its images; empty on another screen."""
    lines = text.splitlines()
    if len(lines) < 3 or not _BADGE.match(lines[1]):
        return ""
    end = next((n for n, line in enumerate(lines) if n > 1 and "──" in line), 3)
    return "\n".join(line.rstrip() for line in lines[1:end])


def badge(text: str) -> str:
    """The word in front of the headline; empty on another screen and below a dialog, where its keys do nothing."""
    found = _BADGE.match(headline(text))
    return found[1] if found and "╭" not in text else ""


def named(text: str) -> list[str]:
    """The episodes that a key on this screen can mean, as far as its presser sees."""
    review = "\n".join(text.splitlines()[1:]) if text.lstrip().startswith("REVIEW") else ""
    return sorted(set(_EPISODE.findall(review or headline(text))))


def tells_of(text: str, key: str) -> bool:
    """Whether the headline says what became of this key."""
    shown = re.escape(SHOWN.get(key, key.lower() if len(key) == 1 else key))
    return re.search(rf"(?:^|\s){shown} {_TOLD}", headline(text), re.IGNORECASE) is not None
