"""The operator's side of a pseudo-terminal: bytes in, escape sequences out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE = 90.0
ROOT = Path(__file__).parents[3]


class Terminal:
    """A program that draws on it, as the session leader that a login shell would start."""

    def __init__(self, words: Sequence[str], columns: int = 120, rows: int = 36) -> None:
        """`words` follow the interpreter's name."""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            # a session of its own whose controlling terminal this is, as after a login
            ["setsid", "--ctty", sys.executable, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        self.text = ""
        """What was drawn, without escape sequences."""
        self.raw = ""

    @property
    def settings(self) -> list[object]:
        """Of the line: echo, whole lines, signals and the like."""
        return termios.tcgetattr(self._ours)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, words: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Read until they have been drawn; `meanwhile` is called now and then."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            meanwhile()
            assert time.monotonic() < deadline, f"{words!r} never appeared"
            if not select.select([self._ours], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:
                data = b""
            assert data, f"the terminal closed before {words!r}"
            self.raw += data.decode(errors="replace")
            self.text += re.sub(r"\x1b\[[0-9;?<>=]*[a-zA-Z]", "", data.decode(errors="replace"))

    def hang_up(self) -> None:
        """The line is cut: whatever holds the terminal gets SIGHUP."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()
