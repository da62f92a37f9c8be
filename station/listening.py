"""The listening sockets of `station serve`: who may connect, and how many connections may be silent.

Each connection holds one of the server's files until it is closed. So another local user's connection is closed as it
arrives, and of the silent ones, without an admitted request, only the newest are kept, each for a few seconds.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from contextlib import suppress
from typing import Any

from aiohttp import web

from datasets.own_files import user_name
from station.neighbours import NOBODY, user_at

MOST_SILENT = 64
"""Maximum silent connections; one more closes the oldest."""
PATIENCE = 10.0
"""s that a connection has for its first admitted request."""

_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_log = logging.getLogger(__name__)


class Listener(socket.socket):
    """Listens at one address, for asyncio's event loop."""

    def __init__(self, family: int, address: tuple[Any, ...]) -> None:
        """Raises OSError if the address is unavailable."""
        super().__init__(fileno=socket.create_server(address, family=family).detach())
        self._silent: dict[tuple[str, int], socket.socket] = {}
        self._refused: set[int] = set()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises ConnectionAbortedError, after which asyncio asks again, for a refused one."""
        end, there = super().accept()
        user = _stranger(there[:2], end.getsockname()[:2])
        if user is not None:
            end.close()
            self._report(user)
            raise ConnectionAbortedError
        self._silent = {peer: each for peer, each in self._silent.items() if each.fileno() >= 0}
        if len(self._silent) >= MOST_SILENT:
            self._hang_up(next(iter(self._silent)))
        self._silent[there[:2]] = end
        asyncio.get_running_loop().call_later(PATIENCE, self._hang_up, there[:2], end)
        return end, there

    def heard(self, request: web.Request) -> None:
        """This request was admitted: its connection may stay."""
        there = request.transport.get_extra_info("peername") if request.transport else None
        if there:
            self._silent.pop(there[:2], None)

    def _hang_up(self, there: tuple[str, int], end: socket.socket | None = None) -> None:
        if end in (None, self._silent.get(there)) and (silent := self._silent.pop(there, None)):
            with suppress(OSError):  # closed meanwhile
                silent.shutdown(socket.SHUT_RDWR)

    def _report(self, user: int) -> None:
        if user != NOBODY and user not in self._refused:
            self._refused.add(user)
            _log.warning(
                "A process of user %s tried to connect. This station answers only its own user.",
                user_name(user),
            )


def listeners(host: str, port: int) -> list[Listener]:
    """One for each address of a host. Raises OSError if none can be had, or if the port is taken at one of them."""
    found: list[Listener] = []
    trouble: OSError | None = None
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in dict.fromkeys(addresses):
        try:
            found.append(Listener(family, address))
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise
            trouble = error
    if trouble is not None and not found:
        raise trouble
    return found


def _stranger(there: tuple[str, int], here: tuple[str, int]) -> int | None:
    """The other local user who connects, NOBODY for a local end that is gone; None if it is ours, root's, or remote."""
    user = user_at(there, here)
    if user == NOBODY and not (there[0] == here[0] or ipaddress.ip_address(there[0]).is_loopback):
        return None
    return None if user in (None, 0, os.geteuid()) else user
