"""Sessions without a screen, through the commands: the real engine, the real cell, the automatic operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.errors import StationError
from datasets.journal.journal import Journal
from datasets.journal.records import Labelled
from hardware.cell import ClockSpeed
from station.benchmark import report
from station.benchmark.learns import Protocol, pin
from station.commands.options import describe
from station.jobs import headless
from station.reporting import SilentReporter
from station.session.engine.options import EngineOptions
from station.session.engine.spawn import spawn
from station.session.folder import SessionFolder
from station.session.link.client import Client
from tests.station.conftest import Station
from tests.station.tui.fakes import snapshot

FAR = 100_000
"""A goal that no test reaches."""


@contextmanager
def running(session: SessionFolder) -> Iterator[Client]:
    """An engine that works on the session until the block ends."""
    with spawn(session, EngineOptions(headless=True, autopilot=True, chunks=FAR)) as engine:
        try:
            client = Client.connect(session.path, timeout=60.0)
            while not Journal(session.journal).ledger().lines_of(Labelled)[3:]:
                assert client.wait(30.0)
            yield client
            client.close()
        finally:
            engine.terminate()


def facts(station: Station, session: SessionFolder) -> dict[str, object]:
    told: dict[str, object] = json.loads(station("status", session.path, "--json").stdout)
    return told


@pytest.mark.slow
def test_a_headless_demo_runs_to_its_goal(station: Station, session: SessionFolder) -> None:
    first = station("demo", "--headless", "--session", session.path, "--episodes", 3, "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout.splitlines()[-1])["event"] == "done"
    known = facts(station, session)
    assert (known["episodes"], known["state"]) == (3, "finished")
    assert station("verify", session.path).exit_code == 0


def test_a_headless_run_takes_the_speed_it_was_given(
    station: Station, session: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[EngineOptions] = []
    monkeypatch.setattr("station.jobs.headless.run", lambda _folder, options, **_: given.append(options))
    assert station("run", session.path, "--headless", "--autopilot", "--speed", "4x").exit_code == 0
    assert given == [EngineOptions(headless=True, autopilot=True, speed=ClockSpeed.FAST)]


def test_a_run_on_a_full_disk_says_once_what_it_waits_for(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Listening(SilentReporter):
        def event(self, kind: str, **facts: object) -> None:
            said.extend(describe(kind, facts))

    assert station("new", tmp_path / "s").exit_code == 0
    monkeypatch.setattr(headless, "REPORT_EVERY", 0.0)
    progress = headless._Progress(SessionFolder.open(tmp_path / "s"), EngineOptions(), Listening())
    for full in (True, True, False, True):
        shown = snapshot(disk_full=full, reason="The disk is full.")
        monkeypatch.setattr(headless, "live_snapshot", lambda *_, shown=shown: shown)
        progress.report()
    assert said == ["The disk is full.", "The disk is full."]


@pytest.mark.slow
def test_commands_reach_a_running_engine(station: Station, session: SessionFolder) -> None:
    with running(session):
        voided = station("label", session.path, "online-000000", "void")
        assert voided.exit_code == 0, voided.output
        assert facts(station, session)["void"] == 1
        refused = station("label", session.path, "online-000000", "success")
        assert refused.exit_code == 2
        assert "restore it" in refused.output
        judged = station("eval", session.path, "--episodes", 2, "--json")
        assert json.loads(judged.stdout)["n"] == 2
        second = station("run", session.path, "--headless", "--autopilot")
        assert second.exit_code == 3
        assert "process" in second.output


@pytest.mark.slow
def test_a_session_that_rests_can_be_evaluated(station: Station, session: SessionFolder) -> None:
    judged = station("eval", session.path, "--episodes", 2, "--json")
    assert judged.exit_code == 0, judged.output
    assert json.loads(judged.stdout)["n"] == 2
    known = facts(station, session)
    assert (known["episodes"], known["env_steps"]) == (0, 0)


@pytest.mark.parametrize("words", [("run", "--headless", "--autopilot"), ("eval", "--episodes", "2")])
def test_no_real_arm_moves_where_nobody_looks_at_a_screen(
    station: Station, tmp_path: Path, words: tuple[str, ...]
) -> None:
    made = station("new", tmp_path / "real", "--task", "xarm6-place-orange")
    assert made.exit_code == 0, made.output
    done = station(words[0], tmp_path / "real", *words[1:])
    assert done.exit_code != 0 and "only while somebody looks" in done.output.replace("\n", " ")
    assert not SessionFolder.open(tmp_path / "real").log.exists()


def test_seeds_of_two_protocols_are_never_averaged(tmp_path: Path, tiny_task: Path) -> None:
    protocol = Protocol(out=tmp_path, task=str(tiny_task), chunks=6)
    pin(protocol)
    pin(protocol)
    with pytest.raises(StationError, match="chunks 6 is now 7"):
        pin(replace(protocol, chunks=7))


@pytest.mark.slow
def test_a_benchmark_is_a_session_and_is_not_repeated(
    station: Station, tmp_path: Path, tiny_task: Path
) -> None:
    words = ("bench", "learns", "--seeds", "0,1", "--task", tiny_task, "--out", tmp_path / "bench")
    first = station(*words, "--chunks", 6, "--layouts", 3, "--json")
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert [seed["seed"] for seed in told["seeds"]] == [0, 1]
    assert all(seed["final"]["n"] == 3 and seed["chunks"] >= 6 for seed in told["seeds"])
    kept = report.read(tmp_path / "bench" / "seed-001.json")
    assert facts(station, SessionFolder.open(tmp_path / "bench" / "seed-001"))["chunks"] == kept.chunks
    again = station(*words, "--chunks", 6, "--layouts", 3, "--json")
    assert json.loads(again.stdout) == told
