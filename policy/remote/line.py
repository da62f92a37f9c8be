"""A client's line to a policy server: one request at a time, each with a deadline.

It connects when it is first used and again after a loss. A request changes nothing at the server, so one that met a
broken connection is sent once more over a fresh one, within the same deadline: a server that was restarted between two
decisions costs nothing. The event loop runs only during a request, in the caller's thread.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from policy.remote.error import RemotePolicyError
from policy.remote.wire import PROTOCOL, Content, WireError, pack, unpack

RESTART = "Restart it there (station policy-server SESSION), then continue."
_GOODBYE = 0.2
"""s to close a connection whose other end may be gone."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a policy server is, and what it needs to be talked to."""

    url: str
    """ws:// or wss://, host and port."""
    token: str
    deadline: float = 2.0
    """s for one request with its answer, connecting included."""
    certificate: Path | None = None
    """The server's own certificate, or its authority's, as PEM; none: the authorities that the system trusts."""


class _LostError(Exception):
    """The connection broke; says how."""


class Line:
    """Asks one server; not for several threads at once."""

    def __init__(
        self, address: Address, *, most_bytes: int = 1 << 20, accept: Callable[[Content], str] = lambda _: ""
    ) -> None:
        """Connects nothing yet.

        Args:
            address: where.
            most_bytes: of an answer.
            accept: what is wrong with a server, by its metadata, in one sentence; empty if it is the right one.
        """
        self.address = address
        self._most_bytes = most_bytes
        self._accept = accept
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: ClientSession | None = None
        self._socket: ClientWebSocketResponse | None = None
        self._metadata: Content = {}

    def connect(self, patience: float | None = None) -> Content:
        """The server's metadata, within `patience` s (default: the deadline). Raises RemotePolicyError."""
        self._run(self._connected, patience)
        return self._metadata

    def ask(self, content: Mapping[str, Any]) -> Content:
        """The answer to a request. Raises RemotePolicyError; the next request connects anew."""
        data = pack(content)
        answer: Content = self._run(lambda: self._asked(data))
        return answer

    def close(self) -> None:
        """Hang up; safe to call twice, and the line can be used again."""
        if self._loop is not None:
            atexit.unregister(self.close)
            self._loop.run_until_complete(self._hang_up())
            self._loop.close()
            self._loop = None

    def _run(self, work: Callable[[], Any], patience: float | None = None) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            atexit.register(self.close)  # else the last words of a process are aiohttp's complaint
        limit = patience or self.address.deadline
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work(), limit))
        except (
            TimeoutError,
            _LostError,
            aiohttp.ClientError,
            OSError,
            ValueError,
            RemotePolicyError,
        ) as error:
            self._loop.run_until_complete(self._hang_up())
            if isinstance(error, RemotePolicyError):
                raise
            raise self._failure(error, limit) from error
        except BaseException:
            # interrupted: what is on its way would be taken for the next answer
            self._loop.run_until_complete(self._hang_up())
            raise

    async def _asked(self, data: bytes) -> Content:
        if self._socket is not None:
            with suppress(_LostError, ConnectionError, aiohttp.ClientError):
                return await self._exchange(data)
            await self._hang_up()
        await self._connected()
        return await self._exchange(data)

    async def _connected(self) -> None:
        if self._socket is not None:
            return
        self._session = ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        self._socket = await self._session.ws_connect(
            self.address.url,
            headers={"Authorization": f"Api-Key {self.address.token}"},
            max_msg_size=self._most_bytes,
            ssl=self._trusted(),
        )
        found = await self._received(self._socket)
        if found.get("protocol") != PROTOCOL:
            said = str(found.get("protocol"))[:40]
            raise self._error(
                f"speaks {said!r}, and this station {PROTOCOL!r}",
                "Use the same version of the station at both ends.",
            )
        if wrong := self._accept(found):
            raise RemotePolicyError(wrong)
        self._metadata = found

    async def _exchange(self, data: bytes) -> Content:
        assert self._socket is not None
        await self._socket.send_bytes(data)
        return await self._received(self._socket)

    async def _received(self, socket: ClientWebSocketResponse) -> Content:
        message = await socket.receive()
        if message.type is WSMsgType.BINARY:
            try:
                return unpack(message.data)
            except WireError as error:
                raise self._error(f"sent what is no answer: {error}") from error
        if message.type is WSMsgType.TEXT:
            raise self._error(f"refused: {str(message.data)[:500]}", "Use the same version at both ends.")
        if message.type is WSMsgType.ERROR:
            raise self._error(f"sent what is no answer: {message.data}")
        raise _LostError("the connection broke")

    async def _hang_up(self) -> None:
        session, self._session, self._socket = self._session, None, None
        if session is not None:
            # no polite goodbye: a server that hangs would not answer it
            with suppress(TimeoutError, OSError, aiohttp.ClientError):
                await asyncio.wait_for(session.close(), _GOODBYE)

    def _trusted(self) -> ssl.SSLContext | bool:
        if self.address.certificate is None:
            return True
        return ssl.create_default_context(cafile=self.address.certificate)

    def _failure(self, error: Exception, limit: float) -> RemotePolicyError:
        what, remedy = f"was lost ({error})", RESTART
        match error:
            case TimeoutError():
                what = f"did not answer within {limit:g} s"
            case aiohttp.WSServerHandshakeError(status=401):
                what = "does not know this token"
                remedy = "Copy to this machine the file that it named when it started, or set STATION_POLICY_TOKEN."
            case aiohttp.WSServerHandshakeError(status=503):
                what, remedy = "has too many clients", "Close one of them, then continue."
            case aiohttp.WSServerHandshakeError():
                what, remedy = f"is no policy server (HTTP {error.status})", "Check host and port."
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
                what = f"has a certificate that is not trusted here ({error})"
                remedy = "Name it in your config file: [policy-server] certificate."
            case aiohttp.ClientConnectorError():
                what = f"cannot be reached ({_in_words(error.os_error)})"
        return self._error(what, remedy)

    def _error(self, what: str, remedy: str = RESTART) -> RemotePolicyError:
        return RemotePolicyError(f"The policy server at {self.address.url} {what}.", remedy=remedy)


def _in_words(error: OSError) -> str:
    """asyncio's own words name an address, the resolver's number means nothing to the system."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)
