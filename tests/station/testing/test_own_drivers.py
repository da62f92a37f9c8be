"""The drivers of this repository go through the checks that others' go through, against their emulators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hardware.cameras.file import FileCameraSettings
from hardware.grippers.robotiq_rs485 import RobotiqRS485Settings
from hardware.grippers.ufactory import UfactoryGripperSettings
from station.testing import check_arm, check_camera, check_gripper
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import needs_sdk, settings
from tests.hardware.arms.xarm_cell import video

pytestmark = pytest.mark.realtime


def test_a_recording_as_a_camera_keeps_the_contract(tmp_path: Path) -> None:
    film = FileCameraSettings(name="third", path=str(video(tmp_path / "film.avi")))
    check_camera(film, absent=film.model_copy(update={"path": str(tmp_path / "none.avi")}))


@pytest.mark.slow
@needs_sdk
def test_the_xarm_keeps_the_contract() -> None:
    with XArmEmulator(axes=6) as emulator:

        @contextmanager
        def unreachable() -> Iterator[None]:
            emulator.order("silence", on=True)
            yield
            emulator.order("silence", on=False)

        check_arm(settings(emulator), unreachable=unreachable)


@pytest.mark.slow
@needs_sdk
def test_grippers_on_the_xarm_keep_the_contract() -> None:
    with XArmEmulator(tool="robotiq") as emulator:
        check_gripper(RobotiqRS485Settings(), settings(emulator))
    with XArmEmulator(tool="ufactory") as emulator:
        check_gripper(UfactoryGripperSettings(speed=5000), settings(emulator))
