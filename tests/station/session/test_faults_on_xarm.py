"""One session through every fault of its devices: engine, cell, controller, the vendor's SDK, an emulated xArm.

After each fault the arm stands, the screen says why, what had been recorded can be looked at and counts nowhere, and
the next episode is run and labelled. What is killed or suspended here are the devices' processes; the engine's and the
screen's fates are in `test_processes_on_xarm`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.episode import Outcome
from datasets.store import EpisodeStore
from datasets.verify import verify
from hardware.robot.cell import RobotCell
from station.session.engine import Engine
from station.session.events import Go, Label, Rearm
from station.session.snapshot import Phase
from station.session.status import count
from station.tui.keymap import default_keymap
from station.tui.widgets.headline import call
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import needs_sdk, wait_until
from tests.hardware.arms.xarm_cell import cell_table, stands, tool_at_home, video
from tests.hardware.cameras.fakes import pid_of
from tests.station.session.driving import press, roll, until_phase
from tests.station.session.leftovers import cut_off, kept
from tests.station.session.swaying import Sway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), needs_sdk]

_FPS = 30


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A session whose arm can be broken."""

    engine: Engine
    emulator: XArmEmulator

    def order(self, name: str, **arguments: object) -> None:
        self.emulator.order(name, **arguments)

    @property
    def cell(self) -> RobotCell:
        cell = self.engine._parts.cells[0]
        assert isinstance(cell, RobotCell)
        return cell

    def signal_controller(self, number: signal.Signals) -> None:
        pid = self.cell.team.processes["arm"].pid
        assert pid is not None
        os.kill(pid, number)

    def signal_camera(self, number: signal.Signals) -> None:
        pid = pid_of(self.cell.cameras["third"])
        assert pid is not None
        os.kill(pid, number)

    @property
    def headline(self) -> str:
        """What the operator reads at the top of the screen."""
        shown = call(self.engine.snapshot(pictures=False), None, default_keymap())
        return f"{shown.badge} {shown.sentence} {shown.below}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("faults")
    with XArmEmulator() as emulator:
        sway = Sway(cell=cell_table(emulator, video(folder / "film.avi")), home=tool_at_home())
        with sway.engine(folder / "session") as engine:
            yield Scene(engine=engine, emulator=emulator)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How something breaks, what is said, and what a person does about it."""

    strike: Callable[[Scene], None]
    said: str
    mend: Callable[[Scene], None] = lambda _: None
    stays: bool = False
    """Going on before it is mended is answered with the same fault."""


FAULTS = {
    "an arm error in the middle of a chunk": Fault(
        strike=lambda it: it.order("fail", code=31), said="Collision Caused Abnormal Current (code C31)"
    ),
    "the emergency stop is pressed and released": Fault(
        strike=lambda it: it.order("press_estop"),
        said="Emergency Stop Button",
        mend=lambda it: it.order("release_estop"),
        stays=True,
    ),
    "the cable is pulled": Fault(
        strike=lambda it: it.order("unplug"),
        said="network cable",
        mend=lambda it: it.order("plug"),
        stays=True,
    ),
    "the link falls silent": Fault(
        strike=lambda it: it.order("silence", on=True),
        said="network cable",
        mend=lambda it: it.order("silence", on=False),
    ),
    "the gripper's link is lost": Fault(
        strike=lambda it: it.order("unplug_tool"), said="plug", mend=lambda it: it.order("plug_tool")
    ),
    "the camera freezes": Fault(strike=lambda it: it.signal_camera(signal.SIGSTOP), said="camera third"),
    "the camera's process is killed": Fault(
        strike=lambda it: it.signal_camera(signal.SIGKILL), said="camera third"
    ),
    "the arm's controller is killed": Fault(
        strike=lambda it: it.signal_controller(signal.SIGKILL), said="its controller is not running"
    ),
    "the arm's controller is suspended": Fault(
        strike=lambda it: it.signal_controller(signal.SIGSTOP), said="its controller has been silent"
    ),
    "somebody stops": Fault(
        strike=lambda it: it.engine._latch.stop(),
        said="Re-arm, then go on",
        mend=lambda it: press(it.engine, Rearm()),
    ),
}


def go_on(engine: Engine) -> None:
    """Say it again as long as something is still wrong: a process that hangs is known for one after a while."""
    deadline = time.monotonic() + 30.0
    while engine.state.phase is Phase.FAULT:
        assert time.monotonic() < deadline, engine.state.reason
        press(engine, Go())
        said = time.monotonic()
        while engine.state.phase is Phase.FAULT and time.monotonic() < said + 1.0:
            engine.turn()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_session_survives(scene: Scene, fault: Fault) -> None:
    engine = scene.engine
    before = count(engine.folder)
    broken_off = roll(engine, steps=9)
    fault.strike(scene)
    until_phase(engine, Phase.FAULT)
    assert fault.said in scene.headline
    assert cut_off(engine.folder)[broken_off]["reason"] in engine.state.reason
    assert kept(engine.folder)[broken_off] == cut_off(engine.folder)[broken_off]["steps"] >= 9
    wait_until(lambda: stands(scene.emulator), 5.0)
    stood_at = scene.emulator.truth()["pose_mm"]

    if fault.stays:
        press(engine, Go())
        until_phase(engine, Phase.FAULT)
        assert fault.said in scene.headline
    assert scene.emulator.truth()["pose_mm"] == pytest.approx(stood_at, abs=0.1), "nothing moves by itself"

    fault.mend(scene)
    go_on(engine)
    following = roll(engine)
    press(engine, Label(episode=following, outcome=Outcome.SUCCESS))
    until_phase(engine, Phase.READY)
    counts = count(engine.folder)
    assert counts.success == before.success + 1
    assert counts.failure + counts.timeout + counts.void == before.failure + before.timeout + before.void
    assert counts.cut_off == before.cut_off + 1
    assert following != broken_off
    store = EpisodeStore(engine.folder.episodes)
    assert following in store and broken_off not in store
    assert verify([store], engine.folder.journal).ok


def realsense(recording: Path, **settings: object) -> dict[str, object]:
    """The [[cameras]] table of a recording that librealsense's own pipeline plays."""
    size = {"height": 48, "width": 64, "capture_width": 64, "capture_height": 48, "capture_fps": _FPS}
    return {"driver": "realsense", "name": "third", "recording": str(recording), **size, **settings}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Thirteen seconds of a RealSense, of which the last three show one and the same picture."""
    pytest.importorskip(
        "pyrealsense2",
        reason="needs: pip install 'station[realsense]' and apt-get install libusb-1.0-0",
        exc_type=ImportError,
    )
    from tests.emulators.recorded_camera import record

    def shaded(number: int) -> NDArray[np.uint8]:
        return np.full((48, 64, 3), min(number, 10 * _FPS) * 3 % 256, np.uint8)

    record(tmp_path / "scene.db3", shaded, range(1, 13 * _FPS), fps=_FPS)
    return tmp_path / "scene.db3"


@contextmanager
def seen_by(camera: dict[str, object], folder: Path) -> Iterator[Scene]:
    with XArmEmulator() as emulator:
        table = {**cell_table(emulator, folder / "film.avi"), "cameras": [camera]}
        # opened anew, this one lives again within a second
        table["safety"]["frame_age"] = 0.4
        with Sway(cell=table, home=tool_at_home()).engine(folder / "session") as engine:
            yield Scene(engine=engine, emulator=emulator)


def test_a_realsense_with_another_serial_is_named_and_nothing_moves(recording: Path, tmp_path: Path) -> None:
    with seen_by(realsense(recording, serial="999"), tmp_path) as scene:
        until_phase(scene.engine, Phase.FAULT)
        assert "no RealSense with serial 999" in scene.headline
        assert stands(scene.emulator)


def test_a_realsense_that_freezes_ends_the_motion_until_it_lives_again(
    recording: Path, tmp_path: Path
) -> None:
    with seen_by(realsense(recording, frozen_after=0.5), tmp_path) as scene:
        engine = scene.engine
        roll(engine, steps=1)
        until_phase(engine, Phase.FAULT)
        assert "camera third" in scene.headline
        wait_until(lambda: stands(scene.emulator), 5.0)
        assert len(kept(engine.folder)) == 1
        go_on(engine)
        following = roll(engine, steps=1)
        press(engine, Label(episode=following, outcome=Outcome.SUCCESS))
        until_phase(engine, Phase.READY)
        assert count(engine.folder).success == 1
