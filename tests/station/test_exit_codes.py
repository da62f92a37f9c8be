"""A signal that ends a command leaves 128 and its number, whichever command it is; 0 means that the job was done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from datasets.journal.journal import Journal
from datasets.journal.records import PhaseEntered
from station.interruption import SIGNALS, deferred, ended_by, exit_code, interruptible, interruption
from station.session.core.events import Leave
from station.session.folder import SessionFolder
from station.session.link.client import Client, running_pid
from tests.station.conftest import Station, sentences
from tests.station.tui.terminal import Terminal

FAR = 100_000
"""A goal that no test reaches."""
COMMANDS = (
    "status",
    "verify",
    "prune",
    "stop",
    "attach",
    "run",
    "train",
    "eval",
    "export",
    "review",
    "limits",
)


@pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_every_command_with_its_own_code(
    station: Station, monkeypatch: pytest.MonkeyPatch, command: str, number: signal.Signals
) -> None:
    def interrupted(_name: str) -> Path:
        raise interruption(number)

    monkeypatch.setattr("station.sessions.find", interrupted)
    rest = {"export": ("--format", "lerobot", "--out", "x")}.get(command, ())
    ended = station(command, "somewhere", *rest)
    assert ended.exit_code == 128 + number, ended.output
    assert "Finished work is safe" in sentences(ended)
    assert (number.name in ended.output) is (number is not signal.SIGINT)


@pytest.mark.parametrize(("code", "number"), [(143, 15), (-15, 15), (130, 2), (129, 1), (-1, 1)])
def test_an_exit_code_tells_the_signal_again(code: int, number: int) -> None:
    assert ended_by(code) == number


@pytest.mark.parametrize("code", [0, 1, 4, 137, -9, 141, None])
def test_no_other_code_is_an_interruption(code: int | None) -> None:
    assert ended_by(code) is None


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_hangup_that_nohup_has_set_aside_stays_set_aside() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruptible()
    with deferred() as interrupted:
        signal.raise_signal(signal.SIGHUP)
        assert interrupted() is None
        signal.raise_signal(signal.SIGTERM)
        assert interrupted() is signal.SIGTERM
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def running(session: SessionFolder) -> Iterator[subprocess.Popen[str]]:
    """A headless command whose engine moves."""
    words = ["run", str(session.path), "--headless", "--autopilot", "--json", "--chunks", str(FAR)]
    with subprocess.Popen(
        [sys.executable, "-m", "station", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        try:
            end = time.monotonic() + 60.0
            while running_pid(session) is None or not Journal(session.journal).ledger().lines_of(
                PhaseEntered
            ):
                assert time.monotonic() < end and command.poll() is None
                time.sleep(0.05)
            yield command
        finally:
            command.kill()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["command", "engine"])
@pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
def test_a_headless_run_that_a_signal_ends_has_not_reached_its_goal(
    session: SessionFolder, victim: str, number: signal.Signals
) -> None:
    with running(session) as command:
        engine = running_pid(session)
        assert engine is not None
        os.kill(command.pid if victim == "command" else engine, number)
        said, _ = command.communicate(timeout=60.0)
    told = json.loads(said.splitlines()[-1])
    assert (command.returncode, told["exit_code"], told["event"]) == (
        exit_code(number),
        exit_code(number),
        "interrupted",
    )
    assert number.name in told["message"] or number is signal.SIGINT
    assert "continues from there" in told["message"]
    assert "Traceback" not in session.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("screen", [False, True], ids=["headless", "with a screen"])
def test_a_run_whose_terminal_is_closed_ends_as_by_sighup(session: SessionFolder, screen: bool) -> None:
    rest = [] if screen else ["--headless", "--autopilot", "--chunks", str(FAR)]
    terminal = Terminal(["-m", "station", "run", str(session.path), *rest])
    try:
        terminal.wait_for("READY" if screen else "chunks")
        end = time.monotonic() + 60.0
        while (engine := running_pid(session)) is None:
            assert time.monotonic() < end and terminal.process.poll() is None
            time.sleep(0.05)
        terminal.hang_up()
        assert ended_by(terminal.process.wait(60.0)) is signal.SIGHUP
        assert "Traceback" not in terminal.text and "Traceback" not in session.log.read_text()
        # the engine of a screen waits for the next one; a headless command's ends with it
        assert psutil.pid_exists(engine) is screen
    finally:
        terminal.close()
        if (left := running_pid(session)) is not None:
            os.kill(left, signal.SIGTERM)


@pytest.mark.slow
def test_a_headless_run_that_is_ended_at_a_screen_has_failed(session: SessionFolder) -> None:
    with running(session) as command:
        screen = Client.connect(session.path, timeout=20.0)
        screen.send(Leave())
        said, _ = command.communicate(timeout=60.0)
        screen.close()
    told = json.loads(said.splitlines()[-1])
    assert (command.returncode, told["event"]) == (1, "error")
    assert "Ended at a screen before its goal was reached" in told["message"]
