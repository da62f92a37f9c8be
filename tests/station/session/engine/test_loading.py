"""How far an engine is in loading past episodes is in its snapshots, and reaches whoever runs without a screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from station.jobs import headless as without_ui
from station.reporting import SilentReporter
from station.session.engine import learner
from station.session.engine.engine import Engine
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.session.link.server import Link
from station.session.snapshot import LiveSteering
from tests.station.session.driving import until
from tests.station.session.fakes import headless, make_folder, make_parts
from tests.station.tui.fakes import snapshot


class Heard(SilentReporter):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []

    def progress(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        self.stages.append((stage, done, total))


def test_an_engine_that_loads_past_episodes_shows_how_many_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, cells=2, episodes=4) as engine:
        engine.run()
    monkeypatch.setattr(learner, "_READING", 0.0)
    left = []
    with Engine(folder, make_parts(folder), EngineOptions(autopilot=False)) as again:

        def loaded() -> bool:
            left.append(again.snapshot(images=False).steering.reading)
            return len(again.session.learner.replay) > 0

        until(again, loaded)
    assert [count for count, _ in groupby(left)] == [0, 3, 2, 1, 0]


@contextmanager
def loading(link: Link, left: int) -> Iterator[None]:
    """An engine that has so many past episodes to load still, and says so to whoever asks."""
    over = threading.Event()

    def publish() -> None:
        while not over.wait(0.01):
            link.publish(snapshot(steering=LiveSteering(reading=left)))

    engine = threading.Thread(target=publish)
    engine.start()
    try:
        yield
    finally:
        over.set()
        engine.join()


def test_a_run_without_a_screen_shows_what_its_engine_loads(
    session: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(without_ui, "REPORT_EVERY", 0.0)
    monkeypatch.setattr(without_ui, "_ANSWER", 30.0)
    heard = Heard()
    progress = without_ui._Progress(session, EngineOptions(chunks=7), heard)
    link = Link(session)
    for left in (50, 30, 0):
        with loading(link, left):
            progress.report()
    link.close()
    progress.report(last=True)
    loads = [("past episodes", 0, 50), ("past episodes", 20, 50), ("past episodes", 50, 50)]
    assert heard.stages == [*loads, ("chunks", 0, 7), ("chunks", 0, 7)]
