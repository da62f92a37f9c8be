"""Every way in which a server can fail a client ends in time, in a sentence with a remedy; the next request connects
anew."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web

from policy.remote.error import RemotePolicyError
from policy.remote.line import Address, Line
from policy.remote.wire import PROTOCOL, Content, pack
from tests.policy.remote.serving import Handler, served, speaking

HELLO = pack({"protocol": PROTOCOL, "hash": "abc"})


def line(port: int, *, deadline: float = 20.0, accept: Callable[[Content], str] = lambda _: "") -> Line:
    url = f"ws://127.0.0.1:{port}"
    return Line(Address(url=url, token="a token of a test", deadline=deadline), accept=accept)


def answering(*answers: bytes | str) -> Handler:
    """Says hello, then these, one for each request, then hangs up."""

    async def handler(end: web.WebSocketResponse) -> None:
        await end.send_bytes(HELLO)
        for answer in answers:
            await end.receive()
            await (end.send_str(answer) if isinstance(answer, str) else end.send_bytes(answer))

    return handler


def refused(asking: Line, limit: float = 15.0) -> str:
    """The sentence that a request ends in, in time."""
    began = time.monotonic()
    with pytest.raises(RemotePolicyError) as error:
        asking.ask({"ask": "encode"})
    assert time.monotonic() - began < limit
    asking.close()
    return str(error.value)


def test_a_request_gets_its_answer() -> None:
    with served(speaking(answering(pack({"number": 3}), pack({"number": 4})))) as port:
        asking = line(port)
        assert asking.connect()["hash"] == "abc"
        assert [asking.ask({})["number"] for _ in range(2)] == [3, 4]
        asking.close()


def test_requests_may_come_from_one_thread_after_the_other() -> None:
    with served(speaking(answering(*(pack({"number": number}) for number in range(4))))) as port:
        asking = line(port)
        numbers = []
        with ThreadPoolExecutor(1) as thread:
            for _ in range(2):
                numbers.append(asking.ask({})["number"])
                numbers.append(thread.submit(asking.ask, {}).result()["number"])
        asking.close()
    assert numbers == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"\xc1garbage", "sent what is no answer"),
        (b"", "sent what is no answer"),
        (pack({"a": 1})[:-1], "sent what is no answer"),
        (pack({"a": "b" * 60_000, "c": bytes(1 << 21)}), "sent what is no answer"),
        ("There is nothing called 'encode' to ask for.", "refused: There is nothing called"),
    ],
    ids=["bytes", "nothing", "cut short", "too large", "text"],
)
def test_garbage_is_no_answer(answer: bytes | str, why: str) -> None:
    with served(speaking(answering(answer))) as port:
        assert why in refused(line(port))


def test_a_server_that_hangs_up_in_the_middle_is_lost() -> None:
    with served(speaking(answering())) as port:
        assert "was lost (the connection broke)" in refused(line(port))


@pytest.mark.parametrize("silent_at_once", [True, False], ids=["before hello", "after hello"])
def test_a_silent_server_costs_the_deadline_and_no_more(silent_at_once: bool) -> None:
    async def handler(end: web.WebSocketResponse) -> None:
        if not silent_at_once:
            await end.send_bytes(HELLO)
        await asyncio.sleep(5)

    with served(speaking(handler)) as port:
        assert "did not answer within 0.3 s. Restart it there" in refused(line(port, deadline=0.3), 3.0)


def test_a_machine_that_accepts_and_says_nothing_costs_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        assert "did not answer within 0.3 s" in refused(line(port, deadline=0.3), 3.0)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    sentence = refused(line(port))
    assert f"The policy server at ws://127.0.0.1:{port} cannot be reached (Connection refused)." in sentence
    assert sentence.endswith("Restart it there (station policy-server SESSION), then continue.")


def test_another_protocol_is_named() -> None:
    async def handler(end: web.WebSocketResponse) -> None:
        await end.send_bytes(pack({"policy": "pi0"}))
        await end.receive()

    with served(speaking(handler)) as port:
        assert f"speaks 'None', and this station '{PROTOCOL}'" in refused(line(port))


def test_something_that_is_no_websocket_is_named() -> None:
    with served(web.Application()) as port:
        assert "is no policy server (HTTP 404)" in refused(line(port))


def test_a_server_that_is_not_accepted_is_asked_nothing() -> None:
    asked: list[object] = []

    async def handler(end: web.WebSocketResponse) -> None:
        await end.send_bytes(HELLO)
        asked.extend([message async for message in end])

    with served(speaking(handler)) as port:
        assert refused(line(port, accept=lambda said: f"{said['hash']} is another policy.")) == (
            "abc is another policy."
        )
    assert not asked


def test_a_server_that_was_restarted_between_two_requests_costs_nothing() -> None:
    with served(speaking(answering(pack({"number": 1})))) as port:
        asking = line(port)
        assert asking.ask({})["number"] == 1
    with served(speaking(answering(pack({"number": 2}))), port):
        assert asking.ask({})["number"] == 2
        asking.close()


def test_after_a_failure_the_next_request_connects_anew() -> None:
    with served(speaking(answering(pack({"number": 1})))) as port:
        asking = line(port)
        asking.ask({})
    with pytest.raises(RemotePolicyError, match="cannot be reached"):
        asking.ask({})
    with served(speaking(answering(pack({"number": 2}))), port):
        assert asking.ask({})["number"] == 2
        asking.close()


def test_a_process_that_ends_with_an_open_line_says_nothing_about_it() -> None:
    with served(speaking(answering(pack({"number": 1})))) as port:
        code = (
            "from policy.remote.line import Address, Line\n"
            f"line = Line(Address(url='ws://127.0.0.1:{port}', token='a token of a test', deadline=20.0))\n"
            "print(line.connect()['hash'])"
        )
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("abc\n", "")


def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    requests = 0

    async def handler(end: web.WebSocketResponse) -> None:
        nonlocal requests
        await end.send_bytes(HELLO)
        async for _ in end:
            requests += 1
            number = requests
            await asyncio.sleep(0.6 if number == 1 else 0.0)
            await end.send_bytes(pack({"number": number}))

    with served(speaking(handler)) as port:
        asking = line(port, deadline=0.3)
        with pytest.raises(RemotePolicyError, match="did not answer"):
            asking.ask({})
        time.sleep(0.5)
        assert asking.ask({})["number"] == 2
        asking.close()
