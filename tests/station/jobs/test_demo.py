"""The demo's stages: each does only what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.errors import ExitCode, StationError
from station.jobs import demo
from station.reporting import SilentReporter
from station.session.folder import SessionFolder
from tests.station.jobs.test_training import Recording, untrained


@pytest.mark.slow
def test_a_prepared_session_is_left_alone(session: SessionFolder) -> None:
    before, told = session.journal.read_bytes(), Recording()
    demo.prepare(session, reporter=told)
    assert told.stages == []
    assert session.journal.read_bytes() == before


@pytest.mark.slow
def test_an_interrupted_demo_records_and_imports_nothing_twice(session: SessionFolder) -> None:
    session = untrained(session)
    recordings = {path.name: path.stat().st_mtime_ns for path in (session.path / "recordings").iterdir()}
    demo.prepare(session, reporter=SilentReporter())
    again = {path.name: path.stat().st_mtime_ns for path in (session.path / "recordings").iterdir()}
    assert again == recordings
    assert len(list((session.demos / "episodes").iterdir())) == 2


def test_the_demo_continues_with_its_own_seed_only(session: SessionFolder) -> None:
    assert demo.open_or_create(session.path, task="place-orange", seed=None).seed == 3
    with pytest.raises(StationError) as refused:
        demo.open_or_create(session.path, task="place-orange", seed=4)
    assert refused.value.exit_code is ExitCode.REFUSED


def test_a_demo_starts_from_an_empty_folder(tmp_path: Path, tiny_task: Path) -> None:
    folder = demo.open_or_create(tmp_path / "s", task=str(tiny_task), seed=None)
    assert folder.seed == 0
    assert folder.task.name == "place-orange-tiny"


def test_a_benchmark_records_by_its_own_seed_whatever_the_task_says(tmp_path: Path) -> None:
    demos = [
        demo.open_or_create(
            tmp_path / str(own), task="place-orange", seed=3, own_recordings=own
        ).task.demonstrations
        for own in (False, True)
    ]
    assert demos[0].seed is not None and demos[1].seed is None
    assert demos[1].count == demos[0].count
