"""The engine's end of the line to its front ends: a unix socket, events in, newest snapshot out.

Acknowledges an event as soon as it is queued, whatever the engine is busy with. A slow front end misses snapshots and
holds nobody up; one that no longer looks at them, because it is suspended or its terminal takes nothing more, counts
as gone, and a command that waits for the engine never counted. Many may watch; one holds the keys: the first at which
somebody looks, until another takes them. Stop is the exception to everything: it is accepted from all. The other end
is `station.session.client`.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import secrets
import socket
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing import connection as sockets
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from datasets.durable import Disk
from station.session.events import Envelope, OperatorEvent, Source, Stop
from station.session.folder import SessionFolder
from station.session.snapshot import Snapshot

UNSEEN = 3.0
"""s that a snapshot may wait to be looked at before its front end counts as gone."""
BROKEN = (EOFError, OSError, AuthenticationError)
"""What a line that is gone raises, at either end."""


class LinkError(Exception):
    """No engine can be reached; the message says what to do now."""


@dataclass(frozen=True, kw_only=True)
class Ack:
    """The engine has an event in its queue, or refuses it."""

    number: int
    refused: str = ""
    """Why it was not taken; empty when it was."""


@dataclass(frozen=True, kw_only=True)
class TakeKeys:
    """This front end wants to hold the keys from now on."""


@dataclass(frozen=True, kw_only=True)
class KeysHeld:
    """Whether the keys of this front end are accepted: it holds them, or nobody does."""

    held: bool


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Somebody has looked at the newest snapshot: the front end's own loop says so, and none of its threads."""


class Link:
    """The engine's end. Only its own threads touch sockets; the engine's loop reads `inbox` and calls `publish`."""

    def __init__(self, folder: SessionFolder) -> None:
        """Listen, and say where in the session folder. The caller holds the session's lock."""
        self.inbox: queue.SimpleQueue[Envelope] = queue.SimpleQueue()
        self.seen_anybody = False
        """Whether anybody ever looked at what a front end shows."""
        self._folder = folder
        self._key = secrets.token_bytes(32)
        self._front_ends: list[_FrontEnd] = []
        self._holder: _FrontEnd | None = None
        self._changing = threading.RLock()
        self._closed = threading.Event()
        self._address = _address(folder.path)
        self._address.unlink(missing_ok=True)
        self._listener = Listener(str(self._address), family="AF_UNIX", backlog=8)
        self._announce()
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    @property
    def attached(self) -> int:
        """Front ends on the line."""
        return len(self._front_ends)

    @property
    def watchers(self) -> int:
        """Those of them that look at what they are shown."""
        return sum(front_end.looks for front_end in tuple(self._front_ends))

    def publish(self, snapshot: Snapshot) -> None:
        """Offer the newest snapshot to everybody; returns at once."""
        if not self._front_ends:
            return
        data = bytes(ForkingPickler.dumps(snapshot))
        for front_end in tuple(self._front_ends):
            front_end.offer(data)

    def close(self) -> None:
        """Hang up and take the announcement back."""
        self._closed.set()
        self._folder.engine.unlink(missing_ok=True)
        # a thread in accept() wakes only when somebody knocks
        with suppress(*BROKEN):
            sockets.Client(str(self._address), family="AF_UNIX").close()
        self._listener.close()
        for front_end in tuple(self._front_ends):
            front_end.close()
        self._address.unlink(missing_ok=True)

    def _announce(self) -> None:
        key = self._folder.key
        key.unlink(missing_ok=True)
        descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._key)
        facts = {"pid": os.getpid(), "address": str(self._address), "started": time.time()}
        Disk().replace(self._folder.engine, json.dumps(facts).encode())

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection = self._listener.accept()
            except OSError:
                continue
            front_end = _FrontEnd(connection)
            threading.Thread(target=self._serve, args=(front_end,), name="front end", daemon=True).start()

    def _serve(self, front_end: _FrontEnd) -> None:
        try:
            front_end.authenticate(self._key)
            self._enter(front_end)
            while True:
                self._receive(front_end, front_end.connection.recv())
        except BROKEN:
            self._leave(front_end)
        finally:
            front_end.connection.close()

    def _enter(self, front_end: _FrontEnd) -> None:
        with self._changing:
            self._front_ends.append(front_end)
        front_end.start()
        self._tell_holders()

    def _leave(self, front_end: _FrontEnd) -> None:
        front_end.close()
        with self._changing:
            if front_end in self._front_ends:
                self._front_ends.remove(front_end)
            if self._holder is front_end:
                self._holder = None

    def _receive(self, front_end: _FrontEnd, message: object) -> None:
        if isinstance(message, Looked):
            if front_end.looked():
                self._claim(front_end)
            self.seen_anybody = True
        elif isinstance(message, TakeKeys):
            self._hand_over(front_end)
        elif isinstance(message, Envelope):
            refused = self._refusal(front_end, message.event)
            if not refused:
                self.inbox.put(message)
            front_end.send(Ack(number=message.number, refused=refused))

    def _refusal(self, front_end: _FrontEnd, event: OperatorEvent) -> str:
        if isinstance(event, Stop) or event.source is not Source.OPERATOR:
            return ""
        return "" if self._claim(front_end) else "Another front end holds the keys. Take them over first."

    def _claim(self, front_end: _FrontEnd) -> bool:
        """Give it the keys if nobody holds them; whether it holds them now."""
        with self._changing:
            free = self._holder is None
            if free:
                self._holder = front_end
            holds = self._holder is front_end
        if free:
            self._tell_holders()
        return holds

    def _hand_over(self, front_end: _FrontEnd) -> None:
        with self._changing:
            self._holder = front_end
        self._tell_holders()

    def _tell_holders(self) -> None:
        for front_end in tuple(self._front_ends):
            front_end.send(KeysHeld(held=self._holder in (None, front_end)))


class _FrontEnd:
    """One attached front end, seen from the engine."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._newest: bytes | None = None
        self._waiting: list[bytes] = []
        self._has_looked = False
        self._unseen_since: float | None = None
        self._offered = threading.Condition()
        self._closed = False

    @property
    def looks(self) -> bool:
        """Whether what it was offered is looked at; a command that waits never does."""
        since = self._unseen_since
        return self._has_looked and (since is None or time.monotonic() - since < UNSEEN)

    def looked(self) -> bool:
        """Whether this was the first time."""
        first, self._has_looked = not self._has_looked, True
        self._unseen_since = None
        return first

    def authenticate(self, key: bytes) -> None:
        deliver_challenge(self.connection, key)
        answer_challenge(self.connection, key)

    def start(self) -> None:
        threading.Thread(target=self._forward, name="snapshots", daemon=True).start()

    def send(self, message: object) -> None:
        """Nothing is lost on the way, unlike with `offer`; both return at once, whether or not anybody reads."""
        with self._offered:
            self._waiting.append(bytes(ForkingPickler.dumps(message)))
            self._offered.notify()

    def offer(self, data: bytes) -> None:
        with self._offered:
            self._newest = data
            self._unseen_since = self._unseen_since or time.monotonic()
            self._offered.notify()

    def close(self) -> None:
        with self._offered:
            self._closed = True
            self._offered.notify()
        hang_up(self.connection)

    def _forward(self) -> None:
        while True:
            with self._offered:
                self._offered.wait_for(lambda: self._closed or self._waiting or self._newest is not None)
                if self._closed:
                    return
                data = [*self._waiting, *([] if self._newest is None else [self._newest])]
                self._waiting, self._newest = [], None
            try:
                for each in data:
                    self.connection.send_bytes(each)
            except (*BROKEN, TypeError):
                # TypeError: the thread that reads closed it between two writes, and there is no handle any more
                return


def hang_up(connection: Connection) -> None:
    """End the conversation; the thread that reads wakes up and closes. Closing alone would leave it asleep."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def _address(path: Path) -> Path:
    """A short path for the socket (the system allows about 100 characters) in a folder that only its owner enters."""
    room = Path(tempfile.gettempdir()) / f"station-{os.getuid()}"
    room.mkdir(mode=0o700, exist_ok=True)
    facts = room.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise LinkError(f"{room} must belong to you alone. Remove it, or set TMPDIR to a folder of your own.")
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return room / f"{name}.sock"
