"""One end of a line between two of our processes: messages through a stream socket, each whole, each with a deadline.

What a message may be is said by its `Codec`; nothing that arrives can run code. One thread may send while another
receives. Nothing here dials, listens or judges who is at the other end.
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
"""What a line raises that is gone, late or speaks another language; TimeoutError is an OSError."""


class Channel(Generic[Sent, Heard]):
    """A socket that carries messages; what it says and what it hears are two types."""

    def __init__(self, end: socket.socket, *, says: Codec[Sent], hears: Codec[Heard]) -> None:
        """`end` is connected, and belongs to the channel from now on."""
        self._end = end
        self._says, self._hears = says, hears
        end.setblocking(False)

    def fileno(self) -> int:
        """For select and poll; -1 once it is closed."""
        return self._end.fileno()

    @property
    def closed(self) -> bool:
        """Whether this end was closed here."""
        return self._end.fileno() < 0

    def send(self, message: Sent, timeout: float | None = None) -> None:
        """Put a message on its way, within `timeout` s.

        Raises:
            TimeoutError: the other end takes nothing; the line is of no use any more. OSError: it is gone.
        """
        self.send_pieces(self._says.encode(message), timeout)

    def send_pieces(self, pieces: list[Buffer], timeout: float | None = None) -> None:
        """As `send`, for a message that was encoded before."""
        until = _deadline(timeout)
        if sum(map(len, pieces)) <= _IN_ONE_GO:
            # who is to receive it never waits for its second half
            pieces = [b"".join(pieces)]
        for piece in pieces:
            self._write(memoryview(piece), until)

    def receive(self, timeout: float | None = None) -> Heard:
        """The next message, whole, within `timeout` s.

        Raises:
            EOFError: the other end hung up. TimeoutError. MessageError: it is none. OSError: the line is gone.
        """
        until = _deadline(timeout)
        header, arrays = self._hears.sizes(self._read(HEAD.size, until))
        text = self._read(header, until)
        return self._hears.build(text, self._read(arrays, until))

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether something can be received, the end of the line included, within `timeout` s."""
        return _ready(self._end, select.POLLIN, _deadline(timeout))

    def close(self) -> None:
        """Let go; not while another thread receives (see `hang_up`)."""
        self._end.close()

    def hang_up(self) -> None:
        """End the conversation from any thread; one that receives wakes up. Closing alone would leave it asleep."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._end.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def _write(self, data: memoryview, until: float | None) -> None:
        while data:
            try:
                data = data[self._end.send(data) :]
            except BlockingIOError:
                _require_ready(self._end, select.POLLOUT, until)

    def _read(self, size: int, until: float | None) -> memoryview:
        # not a bytearray: pages of an episode that never comes are never touched
        memory = np.empty(size, np.uint8).data
        rest = memory
        while rest:
            try:
                count = self._end.recv_into(rest)
            except BlockingIOError:
                _require_ready(self._end, select.POLLIN, until)
                continue
            if count == 0:
                raise EOFError("the other end hung up")
            rest = rest[count:]
        return memory


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _ready(end: socket.socket, events: int, until: float | None) -> bool:
    descriptor = end.fileno()
    if descriptor < 0:
        raise OSError(errno.EBADF, "this end of the line was closed")
    poll = select.poll()
    poll.register(descriptor, events)
    left = None if until is None else max(0.0, 1000.0 * (until - time.monotonic()))
    return bool(poll.poll(left))


def _require_ready(end: socket.socket, events: int, until: float | None) -> None:
    if not _ready(end, events, until):
        raise TimeoutError("the other end does not answer in time")
