"""One session through every fault of its devices: engine, cell, controller, the vendor's SDK, an emulated xArm.

After each fault the arm stands, the screen says why, what had been recorded can be looked at and counts nowhere, and
the next episode is run and labelled. What is killed or suspended here are the devices' processes; the engine's and the
screen's fates are in `test_processes_on_xarm`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.episode import Outcome
from station.session.core.events import Label
from station.session.snapshot import Phase
from station.session.status import count
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import needs_sdk, wait_until
from tests.hardware.arms.xarm_cell import cell_table, stands, tool_at_home, video
from tests.hardware.cameras.fakes import pid_of
from tests.station.session.driving import press, roll, until_phase
from tests.station.session.leftovers import kept
from tests.station.session.surviving import OF_EVERY_ARM, Fault, Scene, go_on, survive
from tests.station.session.swaying import Sway

pytestmark = [pytest.mark.realtime, pytest.mark.slow, pytest.mark.timeout(300), needs_sdk]

_FPS = 30


@dataclass(frozen=True, kw_only=True)
class XArmScene(Scene):
    """A session on an emulated xArm with a camera that can be broken."""

    emulator: XArmEmulator

    def order(self, name: str, **arguments: object) -> None:
        self.emulator.order(name, **arguments)

    def signal_camera(self, number: signal.Signals) -> None:
        pid = pid_of(self.cell.cameras["third"])
        assert pid is not None
        os.kill(pid, number)

    def stands(self) -> bool:
        return stands(self.emulator)

    def position_mm(self) -> list[float]:
        return list(self.emulator.truth()["pose_mm"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XArmScene]:
    folder = tmp_path_factory.mktemp("faults")
    with XArmEmulator() as emulator:
        sway = Sway(cell=cell_table(emulator, video(folder / "film.avi")), home=tool_at_home())
        with sway.engine(folder / "session") as engine:
            yield XArmScene(engine=engine, emulator=emulator)


FAULTS: dict[str, Fault[XArmScene]] = {
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
}


@pytest.mark.parametrize("fault", [*FAULTS.values(), *OF_EVERY_ARM.values()], ids=[*FAULTS, *OF_EVERY_ARM])
def test_a_session_survives(scene: XArmScene, fault: Fault[XArmScene]) -> None:
    survive(scene, fault, tolerance_mm=0.1)


def realsense(recording: Path, **settings: object) -> dict[str, object]:
    """The [[cameras]] table of a recording that librealsense's own pipeline plays."""
    size = {"height": 48, "width": 64, "capture_width": 64, "capture_height": 48, "capture_fps": _FPS}
    return {"driver": "realsense", "name": "third", "recording": str(recording), **size, **settings}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Thirteen seconds of a RealSense, of which the last three show one and the same image."""
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
def seen_by(camera: dict[str, object], folder: Path) -> Iterator[XArmScene]:
    with XArmEmulator() as emulator:
        table = {**cell_table(emulator, folder / "film.avi"), "cameras": [camera]}
        # opened anew, this one lives again within a second
        table["safety"]["frame_age"] = 0.4
        with Sway(cell=table, home=tool_at_home()).engine(folder / "session") as engine:
            yield XArmScene(engine=engine, emulator=emulator)


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
