"""A long reading of past episodes is told to whoever runs without a screen, a short one is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from station.jobs.headless import Goal, _follow
from station.reporting import SilentReporter
from station.session.engine import learner, reading
from station.session.engine.dependencies import Options
from station.session.engine.engine import Engine
from station.session.engine.reading import ReadingLog, told
from station.session.folder import SessionFolder
from tests.station.session.driving import until
from tests.station.session.fakes import headless, make_folder, make_parts


class Heard(SilentReporter):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []

    def progress(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        self.stages.append((stage, done, total))


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, int]]:
    return [found for line in caplog.messages if (found := told(line)) is not None]


def test_a_long_reading_is_told_now_and_then_and_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    now = 0.0
    log = ReadingLog(clock=lambda: now)
    for count in (500, 400, 300, 200, 100, 0, 0):
        log.left(count)
        now += 1.0
    assert lines(caplog) == [(200, 500), (400, 500), (500, 500)]
    log.left(3)
    log.left(0)
    assert len(lines(caplog)) == 3


def test_an_engine_that_reads_the_past_back_says_how_far_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, cells=2, episodes=4) as engine:
        engine.run()
    monkeypatch.setattr(reading, "EVERY", 0.0)
    monkeypatch.setattr(learner, "_READING", 0.0)
    caplog.set_level("INFO")
    with Engine(folder, make_parts(folder), Options(autopilot=False)) as again:
        until(again, lambda: len(again.memory.learner.replay) > 0)
    assert len(lines(caplog)) > 1
    done, total = lines(caplog)[-1]
    assert done == total > 0


def test_a_run_without_a_screen_shows_what_its_engine_reads(session: SessionFolder) -> None:
    said = "2026-01-01 10:00:00,000 Loading past episodes, 20 of 50."
    session.log.write_text(f"{said.replace('20', '10')}\n")
    child: subprocess.Popen[Any] = subprocess.Popen([sys.executable, "-c", "pass"])
    heard = Heard()
    with session.log.open("rb") as log:
        log.seek(0, 2)
        with session.log.open("a") as engine:
            engine.write(f"{said}\n")
        _follow(session, child, Goal(), heard, lambda: False, log)
    assert [stage for stage in heard.stages if stage[0] == "past episodes"] == [("past episodes", 20, 50)]
