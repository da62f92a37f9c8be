"""`station policy-server`: a session's frozen base policy behind a websocket, for a robot's computer without a GPU.

Only whoever has the token is answered, and on this machine only processes of the server's own user. It reads requests
of a bounded size, one at a time from each client, and computes them one after the other in one thread, so that it stays
able to answer while it computes. It draws nothing and remembers nothing. `policy.remote` says what is asked.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError

from datasets.errors import UsageError
from policy import devices
from policy.base import POLICY_FILE, BasePolicy
from policy.remote.answering import PolicyAnswers
from policy.remote.wire import WireError, pack, unpack
from station.listening import Listener, listeners
from station.plain import PlainFormatter
from station.session.folder import SessionFolder
from station.sessions import HEADER_FILE

MOST_CLIENTS = 8
"""Connections at a time; each may hold one request in memory."""
HEALTH = "/healthz"
"""Answers OK to anybody who may connect, without the token, as openpi's servers do."""
_SCHEMES = ("api-key", "bearer")
_GOODBYE = 1.0
"""s that a client has to confirm a closed connection."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A client whose machine vanished gives its place free after a minute."""

_log = logging.getLogger(__name__)


class PolicyServer:
    """Serves one policy until its process ends."""

    def __init__(
        self, answers: PolicyAnswers, token: str, *, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listens nowhere yet; see `serve` and `app`."""
        self.host, self.port = host, port
        self.tls = tls
        self.listeners: list[Listener] = []
        self.metadata = answers.metadata
        """What every client is told first."""
        self._answers = answers
        self._token = token.encode()
        self._clients: set[web.WebSocketResponse] = set()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="policy")

    @property
    def address(self) -> str:
        """For a client on this machine, or on any if the host is public."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"{'wss' if self.tls else 'ws'}://{f'[{name}]' if ':' in name else name}:{self.port}"

    def serve(self, say: Callable[[], None]) -> None:
        """Serve until Ctrl-C; calls `say` once it listens. Raises UsageError if the port is unavailable."""
        _quiet_log()
        try:
            self.listeners = listeners(self.host, self.port)
        except OSError as error:
            raise UsageError(
                f"{self.host}:{self.port} cannot be listened on ({error.strerror}). "
                "Choose another with --host or --port."
            ) from error
        say()
        web.run_app(self.app(), sock=self.listeners, ssl_context=self.tls, print=None, shutdown_timeout=1.0)

    def app(self) -> web.Application:
        """The server without its sockets."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get(HEALTH, _healthy)
        app.router.add_get("/", self._connection)
        app.on_shutdown.append(self._close)
        return app

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header holds the token; takes as long for a wrong one."""
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode(errors="replace")
        return hmac.compare_digest(given, self._token) and scheme.lower() in _SCHEMES

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path != HEALTH and not self.admits(request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(
                text="The policy server's token is missing or wrong: it belongs into the header "
                "'Authorization: Api-Key TOKEN' (openpi's clients: api_key=TOKEN)."
            )
        for listener in self.listeners:
            listener.heard(request)
        return await handler(request)

    async def _connection(self, request: web.Request) -> web.StreamResponse:
        if len(self._clients) >= MOST_CLIENTS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_CLIENTS} clients are connected. Close one of them.")
        client = web.WebSocketResponse(
            timeout=_GOODBYE, compress=False, max_msg_size=self._answers.sizes.most_bytes
        )
        if not client.can_prepare(request):
            raise web.HTTPUpgradeRequired(text="This is a policy server: connect with a websocket.")
        self._clients.add(client)
        try:
            await client.prepare(request)
            _keep_alive(request)
            await client.send_bytes(pack(self.metadata))
            await self._converse(client)
        except ConnectionError:
            _log.info("A client left in the middle of an answer.")
        finally:
            self._clients.discard(client)
        return client

    async def _converse(self, client: web.WebSocketResponse) -> None:
        ordinal = 0
        async for message in client:
            if message.type is not WSMsgType.BINARY:
                break
            try:
                answer = await asyncio.get_running_loop().run_in_executor(
                    self._worker, self._computed, message.data, ordinal
                )
            except WireError as error:
                # a text instead of bytes is how openpi's clients learn of an error
                await client.send_str(str(error))
                continue
            except (RuntimeError, MemoryError) as error:
                why = devices.failure(error)
                _log.error(why or "A request could not be computed.", exc_info=None if why else error)
                await client.send_str(
                    why or "The policy server failed at this request; its terminal says why."
                )
                await client.close(code=WSCloseCode.INTERNAL_ERROR)
                return
            await client.send_bytes(answer)
            ordinal += 1

    def _computed(self, data: bytes, ordinal: int) -> bytes:
        return pack(self._answers.answer(unpack(data), ordinal))

    async def _close(self, _: web.Application) -> None:
        for client in [*self._clients]:
            with suppress(ConnectionError, TimeoutError):
                await client.close(code=WSCloseCode.GOING_AWAY, message=b"the policy server ends")
        self._worker.shutdown(wait=False, cancel_futures=True)


def answers_for(place: Path, *, device: str) -> PolicyAnswers:
    """What answers with the policy of a session, or of a folder that holds one, warmed up.

    Raises:
        UsageError: neither. DeviceError: it cannot be used. PolicyFileError: the policy is missing or damaged.
    """
    chosen = devices.choose(device)
    answers = PolicyAnswers(BasePolicy.load(policy_folder(place), chosen.device), chosen.words)
    answers.warm_up()
    return answers


def policy_folder(place: Path) -> Path:
    """The folder with the policy: that of a session at `place`, or `place` itself."""
    if (place / HEADER_FILE).is_file():
        return SessionFolder.open(place).base
    if (place / POLICY_FILE).is_file():
        return place
    raise UsageError(
        f"{place} is neither a session nor a folder with a policy ({POLICY_FILE}). Name a session, or a copy of one's "
        "folder 'base'."
    )


def certified(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS with this certificate and key; None without one. Raises UsageError."""
    if certificate is None:
        if key is not None:
            raise UsageError("--key belongs to a certificate. Name that too: --certificate FILE.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{certificate} and its key cannot be used ({error}). Both must be PEM, the key without a passphrase."
        ) from error
    return context


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="OK\n")


def _keep_alive(request: web.Request) -> None:
    end = request.transport.get_extra_info("socket") if request.transport else None
    if end is not None:
        with suppress(OSError):
            for option, value in _KEEPALIVE:
                end.setsockopt(socket.IPPROTO_TCP, option, value)


def _quiet_log() -> None:
    """Warnings only; what is no HTTP is answered, and not logged."""
    log = logging.StreamHandler()
    log.addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
    )
    log.setFormatter(PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[log])
