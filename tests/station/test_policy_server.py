"""`station policy-server`: who is answered, openpi's clients, and how it begins and ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web

from policy.remote.answering import PolicyAnswers
from policy.remote.error import RemotePolicyError
from policy.remote.line import Address, Line
from station import policy_server
from station.listening import listeners
from station.policy_server import PolicyServer
from station.testing.rehearsal import tiny_base
from tests.policy.remote.serving import served as in_thread
from tests.station.conftest import Station, sentences
from tests.users import ANOTHER, as_user, needs_another_user

TOKEN = "a token of the tests"
SIDES = (24, 28, 3)
BASE = tiny_base()


@asynccontextmanager
async def served(port: int = 0) -> AsyncIterator[str]:
    """A server behind its real sockets; yields its address."""
    server = PolicyServer(PolicyAnswers(BASE), TOKEN, host="127.0.0.1", port=0)
    runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
    await runner.setup()
    server.listeners = listeners("127.0.0.1", port)
    for listener in server.listeners:
        await web.SockSite(runner, listener).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def visitor() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def let_in(
    visitor: ClientSession, url: str, words: str = f"Api-Key {TOKEN}"
) -> ClientWebSocketResponse:
    return await visitor.ws_connect(url, headers={"Authorization": words}, max_msg_size=1 << 26)


class OpenpiClient:
    """Follows openpi-client: metadata first, then a map of arrays out and one in; text is an error."""

    def __init__(self, end: ClientWebSocketResponse) -> None:
        self._end = end

    async def heard(self) -> dict[str, Any]:
        message = await self._end.receive(30)
        if message.type is WSMsgType.TEXT:
            raise RuntimeError(f"Error in inference server:\n{message.data}")
        found: dict[str, Any] = msgpack.unpackb(message.data, object_hook=self._array)
        return found

    async def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        await self._end.send_bytes(msgpack.packb(observation, default=self._plain))
        return await self.heard()

    @staticmethod
    def _plain(value: np.ndarray[Any, Any]) -> dict[bytes, Any]:
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }

    @staticmethod
    def _array(value: dict[Any, Any]) -> object:
        if b"__ndarray__" not in value:
            return value
        return np.ndarray(buffer=value[b"data"], dtype=np.dtype(value[b"dtype"]), shape=value[b"shape"])


async def test_a_client_that_speaks_as_openpis_do_gets_actions(visitor: ClientSession) -> None:
    async with served() as url:
        client = OpenpiClient(await let_in(visitor, url))
        metadata = await client.heard()
        assert metadata["observation_keys"] == ["observation/third", "observation/state"]
        seen = {
            "observation/third": np.full(SIDES, 90, np.uint8),
            "observation/state": np.zeros(2),
            "prompt": "place the orange",
        }
        answers = [await client.infer(seen) for _ in range(2)]
        for answer in answers:
            assert answer["actions"].shape == (BASE.prediction_horizon, BASE.spec.da)
            assert np.isfinite(answer["actions"]).all()
        assert not np.array_equal(answers[0]["actions"], answers[1]["actions"])  # each has noise of its own
        with pytest.raises(RuntimeError, match="missing: observation/third; unknown: image"):
            await client.infer({"image": seen["observation/third"], "observation/state": np.zeros(2)})
        assert "actions" in await client.infer(seen)  # a refusal does not end the connection


async def test_nobody_is_answered_without_the_token(visitor: ClientSession) -> None:
    async with served() as url:
        for words in (
            "",
            "Api-Key",
            "Api-Key wrong",
            f"Basic {TOKEN}",
            TOKEN,
            f"Api-Key {TOKEN[:-1]}",
            "Api-Key \xff",
        ):
            with pytest.raises(WSServerHandshakeError, match="401"):
                await let_in(visitor, url, words)
            assert (await visitor.get(url, headers={"Authorization": words})).status == 401
        assert (await visitor.get(f"{url}/other")).status == 401
        assert not (await let_in(visitor, url, f"Bearer {TOKEN}")).closed


async def test_whether_it_is_well_is_told_without_the_token(visitor: ClientSession) -> None:
    async with served() as url:
        answer = await visitor.get(f"{url}/healthz")
        assert (answer.status, await answer.text()) == (200, "OK\n")


async def test_a_request_that_is_too_large_ends_its_connection_only(visitor: ClientSession) -> None:
    async with served() as url:
        greedy, other = [await let_in(visitor, url) for _ in range(2)]
        clients = [OpenpiClient(greedy), OpenpiClient(other)]
        for client in clients:
            await client.heard()
        await greedy.send_bytes(bytes(PolicyAnswers(BASE).sizes.most_bytes + 1))
        assert (await greedy.receive(30)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
        await other.send_bytes(b"\xc1")
        with pytest.raises(RuntimeError, match="no message in msgpack"):
            await clients[1].heard()


async def test_only_so_many_clients_connect_and_one_that_leaves_makes_room(
    visitor: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_server, "MOST_CLIENTS", 2)
    async with served() as url:
        first, _ = [await let_in(visitor, url) for _ in range(2)]
        with pytest.raises(WSServerHandshakeError, match="503"):
            await let_in(visitor, url)
        await first.close()
        for _ in range(200):
            try:
                assert not (await let_in(visitor, url)).closed
                break
            except WSServerHandshakeError:
                await asyncio.sleep(0.02)
        else:
            pytest.fail("there is no room for another client")


def test_a_session_with_a_wrong_token_or_without_a_place_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = PolicyServer(PolicyAnswers(BASE), TOKEN, host="127.0.0.1", port=0)
    with in_thread(server.app()) as port:
        url = f"ws://127.0.0.1:{port}"
        wrong = Line(Address(url=url, token=TOKEN[::-1], deadline=20.0))
        with pytest.raises(RemotePolicyError, match="Copy to this machine the file that it named"):
            wrong.connect()
        monkeypatch.setattr(policy_server, "MOST_CLIENTS", 0)
        late = Line(Address(url=url, token=TOKEN, deadline=20.0))
        with pytest.raises(RemotePolicyError, match="has too many clients"):
            late.connect()
        wrong.close()
        late.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.parametrize("known", [True, False])
def test_a_certificate_is_checked(tmp_path: Path, known: bool) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "server.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    named = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *named], check=True, capture_output=True, timeout=60)
    tls = policy_server.certified(certificate, key)
    server = PolicyServer(PolicyAnswers(BASE), TOKEN, host="127.0.0.1", port=0, tls=tls)
    with in_thread(server.app(), tls=tls) as port:
        trusted = certificate if known else None
        url = f"wss://localhost:{port}"
        line = Line(Address(url=url, token=TOKEN, deadline=20.0, certificate=trusted))
        if known:
            assert line.connect()["hash"] == BASE.hash
        else:
            with pytest.raises(RemotePolicyError, match="has a certificate that is not trusted here"):
                line.connect()
        line.close()


@needs_another_user
async def test_another_user_of_this_machine_is_not_even_heard(visitor: ClientSession) -> None:
    def asked(url: str) -> int | str:
        try:
            return int(urllib.request.urlopen(f"{url}/healthz", timeout=30).status)
        except OSError as error:
            return type(error).__name__

    async with served() as url:
        assert await asyncio.to_thread(as_user, ANOTHER, lambda: asked(url)) in (
            "ConnectionResetError", "RemoteDisconnected", "URLError",
        )  # fmt: skip
        assert (await visitor.get(f"{url}/healthz")).status == 200


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def command(*words: object, config: Path) -> subprocess.Popen[str]:
    """The command in its own process, as one starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "station", "policy-server", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STATION_CONFIG": str(config), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.slow
async def test_the_command_serves_until_ctrl_c_and_makes_a_token_that_only_its_user_can_read(
    tmp_path: Path, visitor: ClientSession
) -> None:
    BASE.save(tmp_path / "base")
    port = free_port()
    with command(
        tmp_path / "base", "--port", port, "--device", "cpu", config=tmp_path / "own" / "config.toml"
    ) as server:
        try:
            assert server.stdout is not None
            said = [await asyncio.to_thread(server.stdout.readline) for _ in range(2)]
            assert (
                said[0] == f"The base policy {BASE.hash[:16]} computes on the CPU, at ws://127.0.0.1:{port}\n"
            )
            token = tmp_path / "own" / "policy-token"
            assert str(token) in said[1] and token.stat().st_mode & 0o777 == 0o600
            assert token.read_text().strip() not in "".join(said)
            end = await let_in(visitor, f"http://127.0.0.1:{port}", f"Api-Key {token.read_text().strip()}")
            assert (await OpenpiClient(end).heard())["hash"] == BASE.hash
        finally:
            server.send_signal(signal.SIGINT)
        assert (await asyncio.to_thread(server.wait, 30)) in (0, 130)
        assert server.stderr is not None and "Traceback" not in server.stderr.read()


def test_what_holds_no_policy_is_not_served(station: Station, tmp_path: Path) -> None:
    refused = station("policy-server", tmp_path, "--token-file", tmp_path / "token")
    assert refused.exit_code == 2 and "neither a session nor a folder with a policy" in sentences(refused)
    assert station("new", tmp_path / "s").exit_code == 0
    untrained = station("policy-server", tmp_path / "s", "--token-file", tmp_path / "token")
    assert untrained.exit_code == 1 and "There is no policy" in sentences(untrained)


def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_named(
    station: Station, tmp_path: Path
) -> None:
    BASE.save(tmp_path / "base")
    words = ("policy-server", tmp_path / "base", "--token-file", tmp_path / "token")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = station(*words, "--port", taken.getsockname()[1])
    assert refused.exit_code == 2 and "cannot be listened on" in sentences(refused)
    refused = station(*words, "--certificate", tmp_path / "token")
    assert refused.exit_code == 2 and "cannot be used" in sentences(refused)
    refused = station(*words, "--key", tmp_path / "token")
    assert refused.exit_code == 2 and "--key belongs to a certificate" in sentences(refused)
    refused = station(*words, "--device", "cuda:97")
    assert refused.exit_code == 1 and "Use --device cpu" in sentences(refused)


def test_a_network_that_can_listen_in_is_warned_of(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BASE.save(tmp_path / "base")
    monkeypatch.setattr(PolicyServer, "serve", lambda _self, say: say())
    words = ("policy-server", tmp_path / "base", "--token-file", tmp_path / "token")
    assert "unencrypted" in sentences(station(*words, "--host", "0.0.0.0"))
    assert "unencrypted" not in sentences(station(*words))
