"""The UI in a browser: Textual's server behind a token printed with the address in the terminal.

A page of any other site can reach a port of this machine and could press `r` there. So the address carries a token that
works once and sets a cookie that other sites cannot send, and every request must come from the station's own page
under the name by which this machine is called. Another user of this machine could see that cookie: `listening` closes
its connections. Each tab is a front end in its own process: it ends with its tab, and starts no engine before Enter is
pressed.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from datasets.errors import UsageError
from station.listening import Listener, listeners
from station.plain import PlainFormatter
from station.tether import Tether

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_TABS = 4
"""Maximum open tabs; each is a process that draws images."""

_HEARTBEAT = 4.0
"""s between heartbeats of a tab; one that does not answer for half as long is gone."""
_PATIENCE = 3.0
"""s that a tab's process has to exit."""
_GOODBYE = 1.0
"""s that a browser has to confirm a closed tab."""
_MOST_BYTES = 1 << 20
"""Maximum size of a message from a browser; a large paste is far smaller."""
_POLICIES = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_LARGEST = 1000
"""Columns or rows of a tab; a browser could claim a screen that no memory holds."""
_NONSENSE = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError, RecursionError,
)  # fmt: skip
"""What messages raise that no page of the station sends."""

_log = logging.getLogger(__name__)


class Door:
    """Access control. Holds the token of the newest address and the cookies issued for older ones."""

    def __init__(self, host: str, port: int) -> None:
        """`host` is the address to listen on."""
        self.cookie = f"station-{port}"
        """Cookies know no ports: two servers on one machine must not share a name."""
        self._public = host not in LOOPBACK
        self._names = {*LOOPBACK, host.lower()}
        if self._public:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._token = secrets.token_urlsafe(24)
        self._passes: set[str] = set()

    @property
    def token(self) -> str:
        """The token in the newest address."""
        return self._token

    def admit(self, token: str) -> str | None:
        """The cookie for the newest token, which is then replaced; None for any other token."""
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return None
        self._token = secrets.token_urlsafe(24)
        given = secrets.token_urlsafe(24)
        self._passes.add(given)
        return given

    def knows(self, request: web.Request) -> bool:
        """Whether this browser was admitted."""
        return request.cookies.get(self.cookie, "") in self._passes

    def objection(self, request: web.Request) -> str:
        """Why a request cannot come from the station's own page; else empty."""
        if not self._is_ours(request.host):
            return f"This station is not called {request.host[:80]!r}. Use the address that 'station serve' printed."
        origin = request.headers.get("Origin")
        own = f"{request.scheme}://{request.host}"
        if (origin is None and _upgrades(request)) or (origin is not None and origin.lower() != own.lower()):
            return "Another site asked for this. Only the station's own page may."
        return ""

    def _is_ours(self, host: str) -> bool:
        """Whether a host is ours: a name, which another site could point here, is not; an IP address is."""
        with suppress(ValueError):
            name = (urlsplit(f"//{host}").hostname or "").lower()
            return name in self._names or (self._public and _is_number(name))
        return False


class Tab(AppService):
    """One tab: the UI in its own process, which ends with the tab or the server, however they end."""

    def __init__(self, command: Sequence[str], websocket: web.WebSocketResponse, server: Server) -> None:
        """`command` starts the UI."""
        super().__init__(
            command[0],
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=self._close,
            download_manager=server.download_manager,
        )
        self._words = command
        self._websocket = websocket
        self._tether = Tether()

    async def end(self) -> None:
        """Ask the UI to exit, and kill it if it does not: it may be suspended, or waiting for a disk."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_PATIENCE):
                await self.stop()
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._tether.close()

    async def set_terminal_size(self, width: int, height: int) -> None:
        """See AppService."""
        await super().set_terminal_size(_bounded(width), _bounded(height))

    async def _close(self) -> None:
        await self._websocket.close()

    async def _open_app_process(self, width: int = 80, height: int = 24) -> asyncio.subprocess.Process:
        environment = self._build_environment(width=width, height=height) | self._tether.environment
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *self._words,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            pass_fds=self._tether.inherited,
        )
        self._stdin = process.stdin
        return process


class BrowserServer(Server):
    """Serves the UI to browsers that `Door` admits."""

    def __init__(
        self, command: Sequence[str], *, host: str, port: int, say: Callable[[str], None] = print
    ) -> None:
        """`command` starts the UI of one tab; `say` prints to the terminal."""
        super().__init__(command[0], host=host, port=port, title="station")
        self.door = Door(host, port)
        self._words = command
        self._say = say
        self._tabs = 0
        self._full = False
        self.listeners: list[Listener] = []
        """Where it listens."""

    @property
    def address(self) -> str:
        """The address that opens the UI in one browser, once."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}/?token={self.door.token}"

    def serve(self, debug: bool = False) -> None:
        """Serve until Ctrl-C. Raises UsageError if the port is unavailable."""
        self.initialize_logging()
        try:
            self.listeners = listeners(self.host, self.port)
        except OSError as error:
            raise UsageError(
                f"{self.host}:{self.port} cannot be listened on ({error.strerror}). "
                "Choose another with --host or --port."
            ) from error
        web.run_app(self._make_app(), sock=self.listeners, print=None)

    def initialize_logging(self) -> None:
        """Warnings only: the log of requests would hold the token; what is no HTTP is answered, and not logged."""
        log = logging.StreamHandler()
        log.addFilter(
            lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
        )
        log.setFormatter(PlainFormatter("%(message)s"))
        logging.basicConfig(level=logging.WARNING, handlers=[log])

    async def on_startup(self, app: web.Application) -> None:
        """Print the address."""
        asyncio.get_running_loop().set_exception_handler(self._report)
        self._say(f"The station is at {self.address}")
        self._say(
            "The address opens it in one browser, once; Ctrl-C ends the server, the engines keep running."
        )

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page, or for a token the cookie and then the page."""
        token = request.query.get("token")
        if token is not None:
            return self._exchange(request, token)
        # the page must use the browser's name for the server, also through an SSH tunnel; read before other requests
        self.public_url = f"{request.scheme}://{request.host}"
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Drive one tab until it closes, goes silent or sends invalid messages."""
        if self._tabs >= MOST_TABS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_TABS} tabs are open already. Close one of them.")
        self._tabs += 1
        tab: Tab | None = None
        websocket = web.WebSocketResponse(timeout=_GOODBYE, heartbeat=_HEARTBEAT, max_msg_size=_MOST_BYTES)
        try:
            await websocket.prepare(request)
            tab = Tab(self._words, websocket, self)
            await tab.start(_size(request, "width", 80), _size(request, "height", 24))
            await self._process_messages(websocket, tab)
        except _NONSENSE:
            _log.warning("A tab sent what no page of the station sends, and was closed.")
            await websocket.close()
        finally:
            self._tabs -= 1
            if tab is not None:
                await asyncio.shield(tab.end())
        return websocket

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say once, in a sentence, that no more connections can be opened; asyncio tries again each second."""
        if getattr(context.get("exception"), "errno", None) not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif not self._full:
            self._full = True
            _log.warning(
                "No more connections can be opened: the limit of open files is reached. Open tabs go on. "
                "Close programs that connect here, or raise the limit (ulimit -n) and start 'station serve' again."
            )

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        app.on_response_prepare.append(_add_policies)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if objection := self.door.objection(request):
            raise web.HTTPForbidden(text=objection)
        if self.door.knows(request):
            for listener in self.listeners:
                listener.heard(request)
        elif request.path != "/" or "token" not in request.query:
            raise web.HTTPForbidden(
                text="This browser has not been let in. Open the newest address that 'station serve' printed."
            )
        return await handler(request)

    def _exchange(self, request: web.Request, token: str) -> web.Response:
        given = None if self.door.knows(request) else self.door.admit(token)
        if given is None and not self.door.knows(request):
            raise web.HTTPForbidden(
                text="This address was used already. Open the newest one that 'station serve' printed in its terminal."
            )
        response = web.Response(status=303, headers={"Location": "/"})
        if given is not None:
            response.set_cookie(self.door.cookie, given, httponly=True, samesite="Strict", path="/")
            self._say(f"A browser was let in. The address for another one: {self.address}")
        return response


def _upgrades(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _is_number(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False


def _size(request: web.Request, side: str, default: int) -> int:
    return _bounded(to_int(request.query.get(side, ""), default))


def _bounded(length: float) -> int:
    return min(max(int(length), 1), _LARGEST)


async def _add_policies(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_POLICIES)
