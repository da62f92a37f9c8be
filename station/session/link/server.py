"""The engine's end of the line to its front ends: a unix socket, events in, newest snapshot out.

An event is answered once the engine has decided on it: obeyed, or refused with a sentence. A slow front end misses
snapshots and delays no one; one that no longer reads them, because it is suspended or its terminal accepts nothing
more, counts as gone, and a command that waits for the engine never counts. Many may watch; one holds the keys: the
first that someone watches, until another takes them; when it leaves, the next watched one. Stop is the exception to
everything: it is accepted from all.
The other end is `station.session.link.client`.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from datasets.channel import BROKEN, Channel
from datasets.durable import Disk
from datasets.messages import Codec, Limits
from station.session.core.events import Envelope, EventSource, OperatorEvent, Stop
from station.session.folder import SessionFolder
from station.session.link.address import LinkError, listen, require_own
from station.session.snapshot import Snapshot

UNSEEN = 3.0
"""s that a snapshot may go unread before its front end counts as gone."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The engine's first message: it is alive and uses the front end's protocol."""

    pid: int


@dataclass(frozen=True, kw_only=True)
class Ack:
    """The engine has obeyed an event, or refuses it."""

    number: int
    refused: str = ""
    """Why it was refused; empty if obeyed."""


@dataclass(frozen=True, kw_only=True)
class TakeKeys:
    """This front end requests the keys."""


@dataclass(frozen=True, kw_only=True)
class KeysHeld:
    """Whether this front end's keys are accepted: it holds them, or no one does."""

    held: bool


@dataclass(frozen=True, kw_only=True)
class Looked:
    """The newest snapshot was shown: reported by the front end's own loop, not by one of its threads."""

    anybody: bool = True
    """False: as far as the front end can tell, no one can see its screen."""


FromFrontEnd = Envelope | TakeKeys | Looked
FromEngine = Hello | Ack | KeysHeld | Snapshot
TO_ENGINE: Codec[FromFrontEnd] = Codec(FromFrontEnd, Limits(arrays=0))
FROM_ENGINE: Codec[FromEngine] = Codec(FromEngine, Limits(header=2**24, arrays=2**30))
"""A snapshot holds an image from each camera, twice."""

EngineLine = Channel[FromEngine, FromFrontEnd]
"""The engine's end of a line."""


class Link:
    """The engine's end. Only its own threads touch sockets; the engine's loop reads `inbox` and calls `publish`."""

    def __init__(self, folder: SessionFolder) -> None:
        """Listen, and announce it in the session folder. The caller holds the session's lock."""
        self.inbox: queue.SimpleQueue[Envelope] = queue.SimpleQueue()
        self._folder = folder
        self._front_ends: list[_FrontEnd] = []
        self._asking: dict[int, _FrontEnd] = {}
        """Event number -> the front end awaiting its answer."""
        self._holder: _FrontEnd | None = None
        self._changing = threading.RLock()
        self._closed = threading.Event()
        self._listener, self._address = listen(folder.path)
        self._announce()
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    @property
    def attached(self) -> int:
        """Number of attached front ends."""
        return len(self._front_ends)

    @property
    def watchers(self) -> int:
        """Number of front ends that someone is watching."""
        return sum(front_end.looks for front_end in tuple(self._front_ends))

    def publish(self, snapshot: Snapshot) -> None:
        """Offer the newest snapshot to all front ends; returns at once."""
        if not self._front_ends:
            return
        data = b"".join(FROM_ENGINE.encode(snapshot))
        for front_end in tuple(self._front_ends):
            front_end.offer(data)

    def answer(self, number: int, refused: str = "") -> None:
        """Tell the sender of this event the outcome; returns at once."""
        front_end = self._asking.pop(number, None)
        if front_end is not None:
            front_end.send(Ack(number=number, refused=refused))

    def close(self) -> None:
        """Disconnect and withdraw the announcement."""
        self._closed.set()
        with suppress(OSError):
            self._folder.engine.unlink()
        # wakes the thread in accept(), which closing alone would leave asleep
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for front_end in tuple(self._front_ends):
            front_end.close()
        self._address.unlink(missing_ok=True)

    def _announce(self) -> None:
        facts = {"pid": os.getpid(), "address": str(self._address), "started": time.time()}
        Disk().replace(self._folder.engine, json.dumps(facts).encode())

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                end, _ = self._listener.accept()
            except OSError:
                continue
            try:
                require_own(end)
            except (LinkError, OSError):
                end.close()
                continue
            front_end = _FrontEnd(Channel(end, says=FROM_ENGINE, hears=TO_ENGINE))
            threading.Thread(target=self._serve, args=(front_end,), name="front end", daemon=True).start()

    def _serve(self, front_end: _FrontEnd) -> None:
        try:
            self._enter(front_end)
            while True:
                self._receive(front_end, front_end.line.receive())
        except BROKEN:
            self._leave(front_end)
        finally:
            front_end.line.close()

    def _enter(self, front_end: _FrontEnd) -> None:
        with self._changing:
            self._front_ends.append(front_end)
        front_end.send(Hello(pid=os.getpid()))
        front_end.start()
        self._tell_holders()

    def _leave(self, front_end: _FrontEnd) -> None:
        front_end.close()
        with self._changing:
            if front_end in self._front_ends:
                self._front_ends.remove(front_end)
            held = self._holder is front_end
            if held:
                self._holder = next((each for each in self._front_ends if each.looks), None)
        if held:
            self._tell_holders()

    def _receive(self, front_end: _FrontEnd, message: FromFrontEnd) -> None:
        if isinstance(message, Looked):
            if not message.anybody:
                front_end.looked_away()
            elif front_end.looked():
                self._claim(front_end)
        elif isinstance(message, TakeKeys):
            self._hand_over(front_end)
        else:
            self._asking[message.number] = front_end
            refused = self._refusal(front_end, message.event)
            if refused:
                self.answer(message.number, refused)
            else:
                self.inbox.put(message)

    def _refusal(self, front_end: _FrontEnd, event: OperatorEvent) -> str:
        if isinstance(event, Stop) or event.source is not EventSource.OPERATOR:
            return ""
        return "" if self._claim(front_end) else "Another front end holds the keys. Take them over first."

    def _claim(self, front_end: _FrontEnd) -> bool:
        """Give it the keys if no one holds them; returns whether it holds them now."""
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

    def __init__(self, line: EngineLine) -> None:
        self.line = line
        self._newest: bytes | None = None
        self._waiting: list[bytes] = []
        self._has_looked = False
        self._unseen_since: float | None = None
        self._offered = threading.Condition()
        self._closed = False

    @property
    def looks(self) -> bool:
        """Whether its snapshots are being watched; never for a waiting command."""
        since = self._unseen_since
        return self._has_looked and (since is None or time.monotonic() - since < UNSEEN)

    def looked(self) -> bool:
        """Whether this was the first time."""
        first, self._has_looked = not self._has_looked, True
        self._unseen_since = None
        return first

    def looked_away(self) -> None:
        self._has_looked = False

    def start(self) -> None:
        threading.Thread(target=self._forward, name="snapshots", daemon=True).start()

    def send(self, message: FromEngine) -> None:
        """Unlike `offer`, drops nothing; both return at once, read or not."""
        with self._offered:
            self._waiting.append(b"".join(FROM_ENGINE.encode(message)))
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
        self.line.hang_up()

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
                    self.line.send_pieces([each])
            except BROKEN:
                return
