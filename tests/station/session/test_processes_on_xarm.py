"""What the arm does when engine, screen or clock fail: real processes, the vendor's SDK, an emulated control box.

The engine is a process of its own, as an operator's is; the screen is the real one on a pseudo-terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from datasets.episode import Outcome
from datasets.errors import ExitCode
from datasets.journal.journal import Journal
from datasets.journal.records import Labelled
from datasets.store import EpisodeStore
from datasets.verify import verify
from station.jobs import stopping
from station.session.core.events import Label
from station.session.folder import SessionFolder
from station.session.link.client import Client
from station.session.snapshot import Phase, Snapshot
from station.session.status import count
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import needs_sdk, wait_until
from tests.hardware.arms.xarm_cell import cell_table, stands, tool_at_home, video
from tests.station.conftest import Station, sentences
from tests.station.session.answering import go, resume
from tests.station.session.attended import PATIENCE, ROOT, Attended, attended
from tests.station.session.fakes import make_folder
from tests.station.session.leftovers import cut_off, kept
from tests.station.session.swaying import SETTINGS, Sway
from tests.station.tui.terminal import Terminal

pytestmark = [pytest.mark.realtime, pytest.mark.slow, pytest.mark.timeout(300), needs_sdk]

_ENGINE = "tests.station.session.swaying"
_CLOCK = ROOT / "tests" / "emulators" / "wall_clock.c"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A session on an emulated arm."""

    emulator: XArmEmulator
    folder: SessionFolder
    engine: tuple[str, str]

    def episodes(self) -> EpisodeStore:
        return EpisodeStore(self.folder.episodes)

    def sound(self) -> bool:
        return verify([self.episodes()], self.folder.journal).ok

    def moves(self) -> bool:
        return bool(self.emulator.truth()["turning"])


@pytest.fixture(scope="module")
def emulator() -> Iterator[XArmEmulator]:
    with XArmEmulator() as emulator:
        yield emulator


@pytest.fixture
def place(emulator: XArmEmulator, tmp_path: Path) -> Place:
    table = cell_table(emulator, video(tmp_path / "film.avi"))
    folder = make_folder(tmp_path / "session", SETTINGS)
    cell = Sway(cell=table, home=tool_at_home()).write(tmp_path / "cell.json")
    return Place(emulator=emulator, folder=folder, engine=(_ENGINE, str(cell)))


def label_one(at: Attended) -> str:
    """One whole episode."""
    name = at.roll()
    at.press(Label(episode=name, outcome=Outcome.SUCCESS))
    at.until_phase(Phase.READY)
    return name


def test_a_killed_engine_leaves_a_standing_arm_and_a_session_that_goes_on(place: Place) -> None:
    with attended(place.folder.path, place.engine) as at:
        done = label_one(at)
        broken_off = at.roll(steps=9)
        wait_until(place.moves)
        hit = at.strike(signal.SIGKILL)
        wait_until(lambda: stands(place.emulator))
        assert place.emulator.truth()["came_to_rest"] - hit < 1.0
        at.process.wait()
    # the chunk that ran is lost with the engine's memory, what came before it is on disk
    assert kept(place.folder)[broken_off] >= 4
    with attended(place.folder.path, place.engine) as at:
        following = label_one(at)
        assert following not in (done, broken_off)
    assert "The engine was killed" in cut_off(place.folder)[broken_off]["reason"]
    assert kept(place.folder).keys() == {broken_off}
    assert (count(place.folder).success, count(place.folder).cut_off) == (2, 1)
    assert place.sound()


def test_a_suspended_engine_leaves_a_standing_arm_and_goes_on_when_it_wakes(place: Place) -> None:
    with attended(place.folder.path, place.engine) as at:
        broken_off = at.roll(steps=9)
        wait_until(place.moves)
        hit = at.strike(signal.SIGSTOP)
        # the emulated cell's heartbeat limit is wide: 1.5 s
        wait_until(lambda: stands(place.emulator, 2.0))
        assert place.emulator.truth()["came_to_rest"] - hit < 1.5 + 1.0
        at.strike(signal.SIGCONT)
        seen = at.until_phase(Phase.FAULT)
        assert "planning loop" in seen.reason
        assert stands(place.emulator)
        at.press(go())
        label_one(at)
    assert kept(place.folder)[broken_off] >= 9
    assert (count(place.folder).success, count(place.folder).cut_off) == (1, 1)
    assert place.sound()


def attach(place: Place) -> Terminal:
    return Terminal(["-m", "station", "attach", str(place.folder.path)])


def _kill(terminal: Terminal) -> None:
    terminal.process.kill()


def _suspend(terminal: Terminal) -> None:
    os.kill(terminal.process.pid, signal.SIGSTOP)


@pytest.mark.parametrize(
    "lose", [_kill, Terminal.hang_up, _suspend], ids=["killed", "its line is cut", "suspended"]
)
def test_without_a_screen_the_arm_stands_until_somebody_is_back(
    place: Place, lose: Callable[[Terminal], None]
) -> None:
    with attended(place.folder.path, place.engine) as at:
        episode = at.roll()
        terminal = attach(place)
        try:
            terminal.wait_for("MOVING", meanwhile=at.look)
            at.client.close()
            wait_until(place.moves)
            lost = time.monotonic()
            lose(terminal)
            wait_until(lambda: stands(place.emulator))
            assert place.emulator.truth()["came_to_rest"] - lost < 5.0

            at.client = Client.connect(place.folder.path, timeout=PATIENCE)
            seen = at.until_phase(Phase.PAUSED)
            assert seen.episode == episode
            assert any("nobody is looking at a screen" in line for line in seen.log)
            if lose is _suspend:
                os.kill(terminal.process.pid, signal.SIGCONT)
                terminal.wait_for("PAUSED", meanwhile=at.look)
            at.client.take_keys()
            at.press(resume())
            at.until_phase(Phase.ROLLOUT)
            wait_until(place.moves)
            at.press(Label(episode=episode, outcome=Outcome.SUCCESS))
            at.until_phase(Phase.READY)
        finally:
            terminal.close()
    assert count(place.folder).success == 1
    assert place.sound()


def test_two_keys_at_once_label_one_episode_once(place: Place) -> None:
    with attended(place.folder.path, place.engine) as at:
        first = at.roll()
        terminal = attach(place)
        try:
            terminal.wait_for("MOVING", meanwhile=at.look)
            shown = time.monotonic()
            wait_until(lambda: bool(at.look()) and time.monotonic() - shown > 1.0)  # time to read the name
            at.client.close()
            terminal.type("sf")
            wait_until(lambda: bool(labels(place)), PATIENCE)
            at.client = Client.connect(place.folder.path, timeout=PATIENCE)
            at.client.take_keys()
            at.roll()
        finally:
            terminal.close()
        counts = count(place.folder)
        assert counts.success + counts.failure == 1
        assert {record.episode for record in labels(place)} == {first}


def _remove(folder: SessionFolder) -> Path | None:
    shutil.rmtree(folder.path)
    return None


def _rename(folder: SessionFolder) -> Path:
    return folder.path.rename(folder.path.with_name("moved"))


def _replace(folder: SessionFolder) -> Path:
    moved = _rename(folder)
    shutil.copytree(moved, folder.path)
    return moved


@pytest.mark.parametrize("happens", [_remove, _rename, _replace])
def test_an_arm_whose_session_goes_stands_and_its_engine_ends(
    place: Place, happens: Callable[[SessionFolder], Path | None]
) -> None:
    with attended(place.folder.path, place.engine) as at:
        done = label_one(at)
        at.roll(steps=9)
        wait_until(place.moves)
        gone = time.monotonic()
        moved = happens(place.folder)
        wait_until(lambda: stands(place.emulator))
        assert place.emulator.truth()["came_to_rest"] - gone < 1.0
        assert at.process.wait(PATIENCE) == ExitCode.FAILED
    assert place.folder.path.exists() is (happens is _replace)
    if moved is None:
        return
    if happens is _replace:
        assert (place.folder.journal).read_bytes() == (moved / "journal.jsonl").read_bytes()
        shutil.rmtree(place.folder.path)
    moved.rename(place.folder.path)
    assert "was removed, renamed or replaced" in place.folder.log.read_text()
    with attended(place.folder.path, place.engine) as at:
        assert label_one(at) != done
    assert count(place.folder).success == 2
    assert place.sound()


def labels(place: Place) -> list[Labelled]:
    return [line.record for line in Journal(place.folder.journal).ledger().lines_of(Labelled)]


@pytest.fixture
def clock(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The file that says how far the wall clock is ahead, and the environment in which it is."""
    if shutil.which("gcc") is None:
        pytest.skip("needs: apt-get install gcc libc6-dev linux-libc-dev")
    library, ahead = tmp_path / "wall_clock.so", tmp_path / "ahead"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, _CLOCK, "-ldl", "-lm"], check=True)
    ahead.write_bytes(struct.pack("d", 0.0))
    return ahead, {"LD_PRELOAD": str(library), "WALL_CLOCK": str(ahead)}


def test_a_clock_that_is_set_changes_neither_motion_nor_record(
    place: Place, clock: tuple[Path, dict[str, str]]
) -> None:
    ahead, environment = clock

    def step_clock(hours: float) -> None:
        with ahead.open("r+b") as file:
            file.write(struct.pack("d", hours * 3600.0))

    def gone_on(at: Attended, steps: int) -> Snapshot:
        begun = at.look().step
        return at.look(lambda seen: seen.phase is not Phase.ROLLOUT or seen.step >= begun + steps)

    names = []
    with attended(place.folder.path, place.engine, environment) as at:
        for hours in (3.0, -5.0):
            names.append(at.roll())
            step_clock(hours)
            assert gone_on(at, 15).phase is Phase.ROLLOUT
            at.press(Label(episode=names[-1], outcome=Outcome.SUCCESS))
            at.until_phase(Phase.READY)
    with attended(place.folder.path, place.engine, environment) as at:
        names.append(label_one(at))

    for name in names:
        recorded = place.episodes().load(name)
        periods = np.diff(recorded.observation_time)
        assert (periods > 0.0).all() and np.median(periods) == pytest.approx(0.1, abs=0.02)
        assert periods.max() < 60.0
        assert (recorded.command_time <= recorded.observation_time[1:]).all()
    lines = Journal(place.folder.journal).lines
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    steps = np.diff([line.time for line in lines])
    assert steps.min() < -4 * 3600.0 and steps.max() > 2 * 3600.0, (
        "the journal was written on the stepped clock"
    )
    assert count(place.folder).success == 3
    assert place.sound()


def test_a_stop_from_a_terminal_says_what_the_arms_encoders_say(place: Place, station: Station) -> None:
    with attended(place.folder.path, place.engine) as at:
        at.roll()
        wait_until(place.moves)
        stopped = station("stop", place.folder.path)
        said = sentences(stopped)
        assert (stopped.exit_code, stands(place.emulator)) == (0, True), said
        assert re.search(
            r"The engine confirms it\. Measured: arm stands \(\d mm/s, fastest joint 0\.0\d rad/s", said
        )


def test_an_arm_that_moves_although_the_engine_has_stopped_is_said(
    place: Place, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "BRAKING", 1.0)
    with attended(place.folder.path, place.engine) as at:
        at.until_phase(Phase.READY)
        place.emulator.order("slip", speed=0.1)
        stopped = station("stop", place.folder.path)
        place.emulator.order("slip", speed=0.0)
        said = sentences(stopped)
        assert stopped.exit_code == 1, said
        assert "and yet an arm moves: arm" in said and "emergency stop" in said
