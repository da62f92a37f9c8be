"""A front end's end of the line to a session engine: sends events, keeps the newest snapshot.

Any number of front ends may attach, and leave without notice. `Client.stop` sets the latch itself, with or
without an engine. It knows no screen.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Self

from datasets.channel import BROKEN, Channel
from datasets.durable import DiskFullError
from datasets.messages import MessageError
from datasets.own_files import NotOursError, read_bytes
from datasets.plain_text import from_json
from hardware.latch import StopLatch
from station.session.core.events import Envelope, EventSource, OperatorEvent, Stop
from station.session.folder import SessionFolder
from station.session.link.address import DIALLING, LinkError, NoEngineError, SilentEngineError, dial
from station.session.link.server import (
    FROM_ENGINE,
    TO_ENGINE,
    Ack,
    FromEngine,
    FromFrontEnd,
    Hello,
    KeysHeld,
    Looked,
    TakeKeys,
)
from station.session.snapshot import Snapshot

_RETRY = 0.05
"""s between two attempts to reach an engine that is starting."""
_SENDING = 2.0
"""s that the engine has to accept a message."""

_MOST_PID = 2**22
"""Largest number that Linux gives a process."""

FrontEndLine = Channel[FromFrontEnd, FromEngine]
"""A front end's end of a line."""


class Client:
    """A front end's end."""

    def __init__(self, folder: SessionFolder, line: FrontEndLine) -> None:
        """Use `connect`."""
        self._folder = folder
        self._line = line
        self._sending = threading.Lock()
        # front ends use disjoint numbers
        self._number = secrets.randbits(30) << 24
        self._snapshot: Snapshot | None = None
        self._looked_at: Snapshot | None = None
        self._acks: deque[Ack] = deque(maxlen=256)
        self._held = False
        self._alive = True
        self._news = threading.Condition()
        threading.Thread(target=self._read, name="engine", daemon=True).start()

    @classmethod
    def connect(cls, path: Path, timeout: float = 0.0) -> Self:
        """Attach to the engine of the session at `path`, waiting for it up to `timeout` s.

        Raises:
            NoEngineError: no engine of this user runs there. SilentEngineError: there is one, but it does not answer.
            LinkError: something else answers. SessionError: no session is there.
        """
        folder = SessionFolder.open(path)
        deadline = time.monotonic() + timeout
        while True:
            try:
                return cls(folder, _dial(path))
            except (NoEngineError, SilentEngineError):
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_RETRY)

    @property
    def alive(self) -> bool:
        """Whether the line is still open."""
        return self._alive

    @property
    def holds_keys(self) -> bool:
        """Whether this front end's keys are accepted."""
        return self._held

    @property
    def acks(self) -> tuple[Ack, ...]:
        """What the engine has decided on the newest events, oldest first."""
        return tuple(self._acks)

    def send(self, event: OperatorEvent, pressed: float | None = None) -> int:
        """Send an event and return its number.

        `pressed`: time.monotonic() when the key went down; None: now. Raises LinkError when the line is broken.
        """
        pressed = time.monotonic() if pressed is None else pressed
        with self._sending:
            self._number += 1
            number = self._number
            self._post(Envelope(number=number, event=event, pressed=pressed))
        return number

    def take_keys(self) -> None:
        """Request the keys; `holds_keys` becomes true when granted. Raises LinkError."""
        with self._sending:
            self._post(TakeKeys())

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot, None before the first; for a command, which shows it to no one."""
        return self._snapshot

    def latest(self) -> Snapshot | None:
        """The newest snapshot, None before the first; tells the engine that someone is watching."""
        snapshot = self._snapshot
        if snapshot is not self._looked_at:
            self._looked_at = snapshot
            with suppress(LinkError), self._sending:
                self._post(Looked())
        return snapshot

    def unseen(self) -> Snapshot | None:
        """The newest snapshot for a screen that no one can see; tells the engine that it no longer counts."""
        if self._looked_at is not None:
            self._looked_at = None
            with suppress(LinkError), self._sending:
                self._post(Looked(anybody=False))
        return self._snapshot

    def wait(self, timeout: float) -> bool:
        """Wait for a message; returns whether one arrived."""
        with self._news:
            return self._news.wait(timeout)

    def stop(self) -> str:
        """Set the latch, with or without an engine, then notify the engine.

        Returns why both failed; empty if either worked.
        """
        trouble = ""
        try:
            set_latch(self._folder, EventSource.OPERATOR)
        except (OSError, DiskFullError) as error:
            # where none can be had, the engine's own still is
            trouble = str(error)
        try:
            self.send(Stop())
        except LinkError as error:
            return trouble and f"{trouble} {error}"
        return ""

    def close(self) -> None:
        """Disconnect; the engine keeps running."""
        self._alive = False
        self._line.hang_up()

    def _post(self, message: FromFrontEnd) -> None:
        try:
            self._line.send(message, _SENDING)
        except TimeoutError as error:
            self._alive = False
            raise LinkError(
                f"The engine of {self._folder.path} accepts no more messages: it is suspended or hung. "
                "Resume it, or end it and start it again; nothing committed is lost."
            ) from error
        except BROKEN as error:
            self._alive = False
            raise LinkError(
                f"The engine of {self._folder.path} is gone. Start it again; nothing committed is lost."
            ) from error

    def _read(self) -> None:
        try:
            while self._alive:
                self._take(self._line.receive())
        except BROKEN:
            self._alive = False
        with self._sending:  # not under the hands of a thread that sends
            self._line.close()
        with self._news:
            self._news.notify_all()

    def _take(self, message: FromEngine) -> None:
        if isinstance(message, Snapshot):
            self._snapshot = message
        elif isinstance(message, Ack):
            self._acks.append(message)
        elif isinstance(message, KeysHeld):
            self._held = message.held
        with self._news:
            self._news.notify_all()


def set_latch(folder: SessionFolder, by: EventSource) -> None:
    """Set the session's stop latch, with or without an engine. Raises NotOursError, OSError, DiskFullError."""
    latch = StopLatch(folder.latch, to_stop=True)
    latch.stop(by)
    latch.close()


def running_pid(folder: SessionFolder) -> int | None:
    """The pid announced by the session's engine, None if none; it may have died since."""
    try:
        pid = from_json(read_bytes(folder.engine))["pid"]
    except (OSError, NotOursError, ValueError, KeyError, TypeError):
        return None
    return pid if type(pid) is int and 0 < pid <= _MOST_PID else None


def _dial(path: Path) -> FrontEndLine:
    """A line on which the engine has sent its Hello. Raises LinkError."""
    try:
        end, pid = dial(path)
    except NoEngineError as error:
        raise NoEngineError(f"No engine runs on {path}. Start one with 'station run {path}'.") from error
    except SilentEngineError as error:
        raise SilentEngineError(_silence(path)) from error
    line: FrontEndLine = Channel(end, says=TO_ENGINE, hears=FROM_ENGINE)
    try:
        hello = line.receive(DIALLING)
        if not isinstance(hello, Hello):
            raise MessageError(f"it begins with {type(hello).__name__}")
    except TimeoutError as error:
        line.close()
        raise SilentEngineError(_silence(path, pid)) from error
    except MessageError as error:
        line.close()
        raise LinkError(
            f"Process {pid} listens for {path} and does not speak as this station does ({error}). End it "
            f"(kill {pid}), and start the session with this station."
        ) from error
    except BROKEN as error:
        line.close()
        raise NoEngineError(
            f"The engine of {path} is ending. Start it again with 'station run {path}'."
        ) from error
    return line


def _silence(path: Path, pid: int | None = None) -> str:
    """What to do about an engine that does not answer."""
    it = pid or "PID"
    return (
        f"The engine of {path}{f' (process {pid})' if pid else ''} does not answer within {DIALLING:g} s: it is "
        f"suspended or hung. Resume it (kill -CONT {it}), or end it (kill -KILL {it}) and run the session again; "
        "nothing committed is lost."
    )
