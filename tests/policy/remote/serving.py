"""Real websocket servers in a thread of the test, for clients that wait in the test's own thread."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

Handler = Callable[[web.WebSocketResponse], Awaitable[None]]


@contextmanager
def served(app: web.Application, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serves on the loopback, without the checks of `station.listening`; yields the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True, ssl_context=tls).start()
        return runner, int(runner.addresses[0][1])

    runner, found = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def speaking(handler: Handler) -> web.Application:
    """A server that does with each connection what a test says."""

    async def connected(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=0.1, max_msg_size=1 << 26)
        await socket.prepare(request)
        await handler(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", connected)
    return app
