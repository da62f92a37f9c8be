"""One end of a connection between two processes: whole messages over a stream socket, each with a deadline.

The `Codec` defines valid messages; no message can run code. One thread may send while another receives. Connecting,
listening and authenticating the peer are done elsewhere.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from contextlib import suppress
from typing import Generic, TypeVar

import numpy as np

from datasets.messages import HEAD, Buffer, Codec, MessageError

Sent = TypeVar("Sent")
Heard = TypeVar("Heard")

_IN_ONE_GO = 2**16  # bytes

BROKEN = (EOFError, OSError, MessageError)
"""What a lost, late or incompatible connection raises; TimeoutError is an OSError."""


class Channel(Generic[Sent, Heard]):
    """A socket that carries messages, with separate types for sent and received ones."""

    def __init__(self, end: socket.socket, *, says: Codec[Sent], hears: Codec[Heard]) -> None:
        """`end`: a connected socket; the channel takes ownership."""
        self._end = end
        self._says, self._hears = says, hears
        end.setblocking(False)

    def fileno(self) -> int:
        """File descriptor for select and poll; -1 once closed."""
        return self._end.fileno()

    @property
    def closed(self) -> bool:
        """Whether this end was closed here."""
        return self._end.fileno() < 0

    def send(self, message: Sent, timeout: float | None = None) -> None:
        """Send a message within `timeout` s.

        Raises:
            TimeoutError: the peer does not read; the connection is unusable from here on. OSError: it is lost.
        """
        self.send_pieces(self._says.encode(message), timeout)

    def send_pieces(self, pieces: list[Buffer], timeout: float | None = None) -> None:
        """As `send`, for an already encoded message."""
        until = _deadline(timeout)
        if sum(map(len, pieces)) <= _IN_ONE_GO:
            # the receiver never waits for the second half
            pieces = [b"".join(pieces)]
        for piece in pieces:
            self._write(memoryview(piece), until)

    def receive(self, timeout: float | None = None) -> Heard:
        """The next complete message, within `timeout` s.

        Raises:
            EOFError: the peer closed the connection. TimeoutError. MessageError: not a valid message. OSError: the
            connection is lost.
        """
        until = _deadline(timeout)
        header, arrays = self._hears.sizes(self._read(HEAD.size, until))
        text = self._read(header, until)
        return self._hears.build(text, self._read(arrays, until))

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether a message or the end of the connection can be received within `timeout` s."""
        return _ready(self._end, select.POLLIN, _deadline(timeout))

    def close(self) -> None:
        """Close the socket; not while another thread is receiving (see `hang_up`)."""
        self._end.close()

    def hang_up(self) -> None:
        """Shut the connection down from any thread and wake a receiving one, which `close` alone would not do."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._end.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def _write(self, data: memoryview, until: float | None) -> None:
        while data:
            try:
                data = data[self._end.send(data) :]
            except BlockingIOError:
                _require_ready(self._end, select.POLLOUT, until)

    def _read(self, size: int, until: float | None) -> memoryview:
        # not a bytearray, so pages of data that never arrives are never touched
        memory = np.empty(size, np.uint8).data
        rest = memory
        while rest:
            try:
                count = self._end.recv_into(rest)
            except BlockingIOError:
                _require_ready(self._end, select.POLLIN, until)
                continue
            if count == 0:
                raise EOFError("the peer closed the connection")
            rest = rest[count:]
        return memory


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _ready(end: socket.socket, events: int, until: float | None) -> bool:
    descriptor = end.fileno()
    if descriptor < 0:
        raise OSError(errno.EBADF, "this end of the connection was closed")
    poll = select.poll()
    poll.register(descriptor, events)
    left = None if until is None else max(0.0, 1000.0 * (until - time.monotonic()))
    return bool(poll.poll(left))


def _require_ready(end: socket.socket, events: int, until: float | None) -> None:
    if not _ready(end, events, until):
        raise TimeoutError("the peer does not answer in time")
