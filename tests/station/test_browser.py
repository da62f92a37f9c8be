"""`station serve`: who is let in, what a page may do, and how a tab ends. Real requests against the real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar, WSMsgType, WSServerHandshakeError, web
from textual_serve.app_service import AppService

from datasets.own_files import user_name
from station import browser, listening, neighbours
from station.browser import BrowserServer
from station.listening import listeners
from station.neighbours import NOBODY, user_at
from tests.conftest import THIS_KERNEL
from tests.station.conftest import Station
from tests.users import ANOTHER, as_user, needs_another_user

APP = """
import os, pathlib, sys
from textual.app import App
class Small(App):
    def on_mount(self):
        pathlib.Path(sys.argv[1], str(os.getpid())).touch()
    def on_key(self, event):
        pathlib.Path(sys.argv[1], "keys").open("a").write(event.key)
Small().run()
"""
"""Stands for the UI: says that it runs, and which keys reach it."""


@asynccontextmanager
async def served(words: list[str], **options: str) -> AsyncIterator[tuple[BrowserServer, str, list[str]]]:
    """A server, its base address, and what it says."""
    said: list[str] = []
    server = BrowserServer(words, port=0, say=said.append, **({"host": "127.0.0.1"} | options))
    runner = web.AppRunner(await server._make_app())
    await runner.setup()
    server.listeners = listeners("127.0.0.1", 0)
    for listener in server.listeners:
        await web.SockSite(runner, listener).start()
    port = runner.addresses[0][1]
    server.port = port
    try:
        yield server, f"http://127.0.0.1:{port}", said
    finally:
        await runner.cleanup()


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "seen").mkdir()
    return [sys.executable, str(tmp_path / "app.py"), str(tmp_path / "seen")]


@pytest.fixture
async def visitor() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def let_in(visitor: ClientSession, server: BrowserServer) -> ClientResponse:
    return await visitor.get(server.address)


async def until(found: Callable[[], bool]) -> None:
    """Wait until a call is true."""
    for _ in range(3000):
        if found():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came about")


def own(base: str) -> dict[str, str]:
    return {"Origin": base}


async def test_nobody_comes_in_without_the_printed_address(words: list[str], visitor: ClientSession) -> None:
    async with served(words) as (_, base, said):
        assert "?token=" in said[0]
        for path in ("/", "/static/js/textual.js", "/?token=wrong", "/?token="):
            assert (await visitor.get(base + path)).status == 403
        with pytest.raises(WSServerHandshakeError, match="403"):
            await visitor.ws_connect(f"{base}/ws", headers=own(base))


async def test_the_address_opens_one_browser_once(words: list[str], visitor: ClientSession) -> None:
    async with served(words) as (server, base, said):
        address = server.address
        page = await visitor.get(address)
        assert page.status == 200
        assert f"ws://{urlsplit(base).netloc}/ws" in await page.text()
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as other:
            refused = await other.get(address)
            assert refused.status == 403
            assert "used already" in await refused.text()
            assert said[-1].endswith(server.address)
            assert (await other.get(server.address)).status == 200
        assert (await visitor.get(address)).status == 200  # the same browser, by its history


async def test_the_cookie_is_one_that_other_sites_and_scripts_cannot_use(
    words: list[str], visitor: ClientSession
) -> None:
    async with served(words) as (server, _, _):
        answer = await visitor.get(server.address, allow_redirects=False)
        cookie = answer.headers["Set-Cookie"].lower()
        assert "samesite=strict" in cookie
        assert "httponly" in cookie
        assert answer.headers["Location"] == "/"  # the token stays in no history


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:3000", "null", None])
async def test_a_page_of_another_site_reaches_no_key(
    words: list[str], visitor: ClientSession, origin: str | None, tmp_path: Path
) -> None:
    async with served(words) as (server, base, _):
        await let_in(visitor, server)  # even with the cookie
        with pytest.raises(WSServerHandshakeError, match="403"):
            await visitor.ws_connect(f"{base}/ws", headers={"Origin": origin} if origin else {})
        assert not list((tmp_path / "seen").iterdir())


async def test_a_name_that_another_site_points_at_this_machine_is_refused(
    words: list[str], visitor: ClientSession
) -> None:
    async with served(words) as (server, base, _):
        await let_in(visitor, server)
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[", ""):
            assert (await visitor.get(base, headers={"Host": host})).status in (400, 403)
        netloc = urlsplit(base).netloc
        forged = {"Host": "evil.example", "Origin": "http://evil.example"}
        with pytest.raises(WSServerHandshakeError, match="403"):
            await visitor.ws_connect(f"http://{netloc}/ws", headers=forged)


async def test_no_other_page_may_frame_it_and_nothing_comes_from_elsewhere(
    words: list[str], visitor: ClientSession
) -> None:
    async with served(words) as (server, base, _):
        for answer in (await let_in(visitor, server), await visitor.get(f"{base}/nothing")):
            assert answer.headers["X-Frame-Options"] == "DENY"
            policy = answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy
            assert "default-src 'none'" in policy


async def test_keys_of_the_own_page_arrive_and_the_ui_ends_with_its_tab(
    words: list[str], visitor: ClientSession, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    async with served(words) as (server, base, _):
        await let_in(visitor, server)
        tab = await visitor.ws_connect(f"{base}/ws", headers=own(base))
        await until(lambda: any(entry.name.isdigit() for entry in seen.iterdir()))
        await tab.send_str(json.dumps(["stdin", "r"]))
        await until(lambda: (seen / "keys").exists() and (seen / "keys").read_text() == "r")
        pid = next(int(entry.name) for entry in seen.iterdir() if entry.name.isdigit())
        await tab.close()
        await until(lambda: not psutil.pid_exists(pid))


async def test_a_suspended_ui_is_ended_with_its_tab_too(
    words: list[str], visitor: ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "_PATIENCE", 0.2)
    seen = tmp_path / "seen"
    async with served(words) as (server, base, _):
        await let_in(visitor, server)
        tab = await visitor.ws_connect(f"{base}/ws", headers=own(base))
        await until(lambda: bool(list(seen.iterdir())))
        pid = int(next(seen.iterdir()).name)
        os.kill(pid, signal.SIGSTOP)
        await tab.close()
        await until(lambda: not psutil.pid_exists(pid))


@pytest.mark.slow
async def test_so_many_tabs_and_no_more(visitor: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "_PATIENCE", 0.1)
    monkeypatch.setattr(browser, "MOST_TABS", 2)
    async with served([sys.executable, "-c", "input()"]) as (server, base, _):
        await let_in(visitor, server)
        tabs = [await visitor.ws_connect(f"{base}/ws", headers=own(base)) for _ in range(2)]
        with pytest.raises(WSServerHandshakeError, match="503"):
            await visitor.ws_connect(f"{base}/ws", headers=own(base))
        await tabs[0].close()
        await until(lambda: server._tabs < 2)
        await (await visitor.ws_connect(f"{base}/ws", headers=own(base))).close()


INFINITE = '["resize", {"width": 1e400, "height": 24}]'


async def test_a_tab_is_no_larger_than_any_screen(
    words: list[str], visitor: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []

    async def note(_tab: AppService, width: int, height: int) -> None:
        sizes.append((width, height))

    monkeypatch.setattr(AppService, "set_terminal_size", note)
    async with served(words) as (server, base, _):
        await let_in(visitor, server)
        tab = await visitor.ws_connect(f"{base}/ws?width=99999999&height=0", headers=own(base))
        await tab.send_str('["resize", {"width": 99999999, "height": -5}]')
        await until(lambda: bool(sizes))
        await tab.close()
    assert sizes == [(1000, 1)]


async def test_a_tab_that_sends_nonsense_is_closed_and_the_server_goes_on(
    visitor: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "_PATIENCE", 0.1)
    async with served([sys.executable, "-c", "input()"]) as (server, base, _):
        await let_in(visitor, server)
        for nonsense in (
            "no json",
            '"x"',
            "[]",
            '["stdin"]',
            '["stdin", 3]',
            '["resize", {}]',
            "[" * 100_000,
            INFINITE,
        ):
            tab = await visitor.ws_connect(f"{base}/ws", headers=own(base))
            await tab.send_str(nonsense)
            assert (await tab.receive()).type is WSMsgType.CLOSE
            await tab.close()
            await until(lambda: server._tabs == 0)
        assert (await visitor.get(base)).status == 200


def test_a_session_is_served_without_starting_its_engine(
    station: Station, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown: list[list[str]] = []
    monkeypatch.setattr(BrowserServer, "serve", lambda self: shown.append(self._words))
    assert station("new", str(tmp_path / "mine")).exit_code == 0
    assert station("serve", str(tmp_path / "mine")).exit_code == 0
    assert "--start-on-enter" in shown[0]


@pytest.mark.parametrize(("flags", "starts"), [((), True), (("--start-on-enter",), False)])
def test_a_screen_that_starts_its_engine_on_enter_opens_without_one(
    station: Station, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: tuple[str, ...], starts: bool
) -> None:
    opened: list[bool] = []

    def show(*_: object, start_engine: bool, **__: object) -> int:
        opened.append(start_engine)
        return 0

    monkeypatch.setattr("station.tui.app.run", show)
    assert station("new", str(tmp_path / "mine")).exit_code == 0
    assert station("run", str(tmp_path / "mine"), *flags).exit_code == 0
    assert opened == [starts]


def test_serving_beyond_this_machine_is_warned_about(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts: list[str] = []
    monkeypatch.setattr(BrowserServer, "serve", lambda self: hosts.append(self.host))
    quiet, warned = station("serve"), station("serve", "--host", "0.0.0.0")
    assert hosts == ["127.0.0.1", "0.0.0.0"]
    assert "Warning" not in quiet.output
    assert "unencrypted" in warned.output


def asked_with(address: str, cookie: str) -> str:
    """What a browser of whoever runs this is answered; nothing is loaded for it, which another user could not."""
    there = urlsplit(address)
    with socket.create_connection((str(there.hostname), int(there.port or 0)), timeout=30.0) as end:
        lines = (
            f"GET /?{there.query} HTTP/1.1",
            f"Host: {there.netloc}",
            f"Cookie: {cookie}",
            "Connection: close",
        )
        end.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        answer = b"".join(iter(lambda: end.recv(65536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    return f"{head.split()[1]} {body[:200]}"


HUNG_UP = (
    "ConnectionResetError: [Errno 104] Connection reset by peer",
    "IndexError: list index out of range",
)
"""What `asked_with` ends with when the server closes the connection."""


@needs_another_user
@pytest.mark.parametrize("with_token", [True, False])
async def test_another_user_of_this_machine_is_not_let_in_whatever_it_has_seen(
    words: list[str], visitor: ClientSession, with_token: bool
) -> None:
    async with served(words) as (server, base, _):
        await let_in(visitor, server)
        (cookie,) = visitor.cookie_jar
        # a page that another user serves on another port of this name gets to see this cookie
        seen = "" if with_token else f"{cookie.key}={cookie.value}"
        address = server.address if with_token else base
        refused = await asyncio.to_thread(as_user, ANOTHER, lambda: asked_with(address, seen))
        assert refused in HUNG_UP, refused
        if seen:
            assert (await asyncio.to_thread(asked_with, address, seen)).startswith("200 ")


@pytest.mark.parametrize(("inode", "user"), [(0, NOBODY), (5, 0)])
def test_an_end_that_was_closed_is_not_taken_for_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inode: int, user: int
) -> None:
    row = (
        f"  0: 0100007F:1F90 0100007F:C350 05 00000000:00000000 03:00000BB7 00000000     0        0 {inode} 3"
    )
    (tmp_path / "tcp").write_text(
        f"  sl  local_address rem_address ...\n{row}\n"
    )  # as kernels before 6.17 write it
    monkeypatch.setattr(neighbours, "_TABLES", (tmp_path / "tcp",))
    assert user_at(("127.0.0.1", 8080), ("127.0.0.1", 50000)) == user


def quiet(base: str) -> socket.socket:
    """A connection that has sent nothing."""
    there = urlsplit(base)
    return socket.create_connection((str(there.hostname), int(there.port or 0)), timeout=30.0)


def closed(end: socket.socket) -> bool:
    """Whether the server closes this connection within half a minute."""
    with end:
        return end.recv(1) == b""


@pytest.mark.slow
@needs_another_user
async def test_connections_of_another_user_are_closed_as_they_arrive_and_a_tab_goes_on(
    words: list[str], visitor: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(words) as (server, base, _):
        await let_in(visitor, server)
        tab = await visitor.ws_connect(f"{base}/ws", headers=own(base))
        flood = asyncio.to_thread(as_user, ANOTHER, lambda: sum(closed(quiet(base)) for _ in range(300)))
        waiting = asyncio.ensure_future(flood)
        await tab.send_str('["ping", 7]')
        while (message := await tab.receive()).type is WSMsgType.BINARY or message.data != '["pong", 7]':
            assert message.type is not WSMsgType.CLOSE
        assert await waiting == "300"
        assert (await visitor.get(base)).status == 200
        await tab.close()
    assert [one.message for one in caplog.records if "tried to connect" in one.message] == [
        f"A process of user {user_name(ANOTHER)} tried to connect. This station answers only its own user."
    ]


async def test_of_silent_connections_the_newest_stay_and_none_keeps_a_browser_out(
    words: list[str], visitor: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST_SILENT", 2)
    async with served(words) as (server, base, _):
        silent = [quiet(base) for _ in range(5)]
        assert (await let_in(visitor, server)).status == 200
        assert all([await asyncio.to_thread(closed, each) for each in silent[:3]])
        tab = await visitor.ws_connect(f"{base}/ws", headers=own(base))
        later = [quiet(base) for _ in range(5)]
        assert await asyncio.to_thread(closed, later[0])
        await tab.send_str('["ping", 7]')
        while (message := await tab.receive()).type is WSMsgType.BINARY or message.data != '["pong", 7]':
            assert message.type is not WSMsgType.CLOSE
        await tab.close()
        for each in (*silent, *later):
            each.close()


@pytest.mark.parametrize("request_line", ["", "GET /?token=wrong HTTP/1.1\r\nHost: {}\r\n\r\n"])
async def test_a_connection_without_an_admitted_request_is_closed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, request_line: str
) -> None:
    monkeypatch.setattr(listening, "PATIENCE", 0.3)
    async with served(words) as (_, base, _):
        end = quiet(base)
        end.sendall(request_line.format(urlsplit(base).netloc).encode())

        def last() -> bytes:
            with end:
                return b"".join(iter(lambda: end.recv(65536), b""))

        assert (b"403" in await asyncio.to_thread(last)) is bool(request_line)


def test_what_no_browser_sends_and_a_limit_of_files_print_no_traceback(tmp_path: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "from station.browser import BrowserServer\n"
        "from station import browser\n"
        "say = lambda words: print(words, flush=True)\n"
        "BrowserServer(['true'], host='127.0.0.1', port=int(sys.argv[1]), say=say).serve()"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(port)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert server.stdout is not None and server.stderr is not None
    try:
        assert "The station is at" in server.stdout.readline()
        with quiet(f"http://127.0.0.1:{port}") as end:
            end.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n")
            assert b" 400 " in end.recv(65536)
        held = [quiet(f"http://127.0.0.1:{port}") for _ in range(60)]
        line = server.stderr.readline()
        assert line.startswith("No more connections can be opened"), line
        for end in held:
            end.close()
    finally:
        server.terminate()
        rest = server.communicate(timeout=60.0)[1]
    assert "Traceback" not in rest


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_user_at_the_other_end_of_a_connection_is_known(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"{THIS_KERNEL} has no {host}")
    with listener, socket.create_connection(listener.getsockname()[:2]) as end:
        inside, there = listener.accept()
        with inside:
            assert user_at(there[:2], inside.getsockname()[:2]) == os.geteuid()
            assert user_at((host, 1), inside.getsockname()[:2]) == NOBODY
        assert end.fileno() >= 0
