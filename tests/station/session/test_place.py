"""A session that somebody removes, renames or restores while it runs: it ends, and nothing is made in its place."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from datasets.episode import Outcome
from datasets.errors import ExitCode
from station.interruption import SIGNALS
from station.session.core.events import Label, Pause
from station.session.engine.checkpoint import CheckpointFacts, Checkpoints
from station.session.engine.engine import Engine
from station.session.engine.launch import serve
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.session.place import SessionGoneError
from station.session.snapshot import Phase
from tests.station.session.engine.test_engine import FIRST, attended, press, rolling, until
from tests.station.session.fakes import cell_of, make_folder, make_parts, never_ending

Happening = Callable[[SessionFolder], Path]
"""Does something to a session; returns the path at which nothing may lie afterwards."""


def removed(folder: SessionFolder) -> Path:
    """Again until it is gone: what is being committed meanwhile may come into a folder that was just emptied."""
    deadline = time.monotonic() + 20.0
    while folder.path.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder.path, ignore_errors=True)
    return folder.path


def renamed(folder: SessionFolder) -> Path:
    folder.path.rename(folder.path.with_name("moved"))
    return folder.path


def without_episodes(folder: SessionFolder) -> Path:
    folder.episodes.rename(folder.path / "elsewhere")
    return folder.episodes


def without_the_inner_folder(folder: SessionFolder) -> Path:
    (folder.episodes / "episodes").rename(folder.path / "elsewhere")
    return folder.episodes / "episodes"


def without_journal(folder: SessionFolder) -> Path:
    folder.journal.unlink()
    return folder.journal


def without_checkpoints(folder: SessionFolder) -> Path:
    shutil.rmtree(folder.steering)
    return folder.steering


HAPPENINGS = (
    removed,
    renamed,
    without_episodes,
    without_the_inner_folder,
    without_journal,
    without_checkpoints,
)


def moving(engine: Engine) -> None:
    rolling(engine)


def waiting(engine: Engine) -> None:
    until(engine, Phase.READY)


def paused(engine: Engine) -> None:
    rolling(engine)
    press(engine, Pause())


def stopped(engine: Engine) -> None:
    rolling(engine)
    engine._latch.stop()
    until(engine, Phase.FAULT)


def committing(engine: Engine) -> None:
    rolling(engine)
    press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))


@pytest.mark.parametrize("happens", HAPPENINGS)
@pytest.mark.parametrize("doing", [waiting, moving, committing, paused, stopped])
def test_an_engine_whose_session_goes_brakes_ends_and_makes_nothing_again(
    tmp_path: Path, doing: Callable[[Engine], None], happens: Happening
) -> None:
    engine = never_ending(attended(tmp_path / "s"))
    doing(engine)
    cell = cell_of(engine)
    moves, braked = cell.moves, cell.braked
    path = happens(engine.folder)
    with pytest.raises(SessionGoneError) as ending:
        engine.turn()
    engine.close()
    assert (cell.moves, cell.braked > braked) == (moves, True)
    assert not path.exists()
    assert f"{path} was removed, renamed or replaced" in str(ending.value)


def test_a_copy_at_the_old_path_is_not_written_to(tmp_path: Path) -> None:
    engine = attended(tmp_path / "s")
    until(engine, Phase.READY)
    renamed(engine.folder)
    shutil.copytree(tmp_path / "moved", tmp_path / "s")
    before = engine.folder.journal.read_bytes()
    with pytest.raises(SessionGoneError, match="removed, renamed or replaced"):
        engine.turn()
    engine.close()
    assert engine.folder.journal.read_bytes() == before


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("happens", HAPPENINGS)
def test_the_engine_says_what_is_gone_and_what_to_do_and_fails(
    tmp_path: Path, happens: Happening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_folder(tmp_path / "s")
    turn, turns, paths = Engine.turn, iter(range(1000)), list[Path]()

    def until_then(engine: Engine) -> None:
        if next(turns) == 5:
            paths.append(happens(engine.folder))
        turn(engine)

    monkeypatch.setattr(Engine, "turn", until_then)
    options = EngineOptions(headless=True, autopilot=True, episodes=1000)
    code = serve(folder.path, options, lambda found, latch: make_parts(found, 2, latch=latch))
    assert code is ExitCode.FAILED
    said = caplog.messages[-1]
    assert "was removed, renamed or replaced" in said and "Put it back where it was" in said
    assert not paths[0].exists()


def test_a_checkpoint_makes_no_session(tmp_path: Path) -> None:
    facts = CheckpointFacts(method="m", base_hash="b", update=1, policy_version=1, steps=1)
    with pytest.raises(FileNotFoundError):
        Checkpoints(tmp_path / "gone" / "steering").save({"w": torch.zeros(1)}, facts)
    assert not (tmp_path / "gone").exists()
